"""The rules of published plans."""

import structlog

from services.triggers.domain.rules import RuleBook, compile_rules
from shared.plans import PublishedPlans

_log = structlog.get_logger(__name__)


class Plans(PublishedPlans):
    """Published plans and their rules, which are compiled when first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._books: dict[str, RuleBook] = {}

    def book(self, name: str) -> RuleBook | None:
        """The rules of plan version ``name``; None while it has not been seen, and if it cannot be read."""
        book = self._books.get(name)
        if book is None and (plan := self.get(name)) is not None:
            book = self._books[name] = compile_rules(name, plan)
            for rejected in book.rejected:
                _log.error("a trigger is not evaluated", trigger=rejected.trigger, plan=name, why=rejected.reason)
        return book

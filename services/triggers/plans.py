"""The rules of published plans."""

import structlog

from services.triggers.domain.rules import RuleBook, compile_rules
from shared.plans import PublishedPlans
from shared.schemas.plan import Plan

_log = structlog.get_logger(__name__)


class Plans(PublishedPlans):
    """Published plans and their rules, which are compiled when first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._books: dict[str, tuple[Plan, RuleBook]] = {}

    def book(self, name: str) -> RuleBook | None:
        """The rules of plan version ``name``; None while it has not been seen, and if it cannot be read."""
        if (plan := self.get(name)) is None:
            return None
        compiled = self._books.get(name)
        if compiled is None or compiled[0] is not plan:  # a version taken back may be given again
            compiled = self._books[name] = plan, compile_rules(name, plan)
            for rejected in compiled[1].rejected:
                _log.error("a trigger is not evaluated", trigger=rejected.trigger, plan=name, why=rejected.reason)
        return compiled[1]

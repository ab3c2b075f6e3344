"""Published plans, as every process that goes by them follows ``plans.v1``."""

from threading import Lock
from typing import Final

import structlog

from shared.schemas.plan import Plan
from shared.schemas.published_plan import decode, name_of_key
from shared.streams import metrics
from shared.streams.dead_letters import UNREADABLE
from shared.streams.shards import Record

_log = structlog.get_logger(__name__)

_RUNBOOK: Final = "docs/runbooks/HeadroomPlanUnreadable.md"


class PublishedPlans:
    """Every plan on ``plans.v1``, as ``TableReader`` brings them; the one that was written last is in force.

    A record that cannot be read is as none, in every process alike: the plan before it stays in force, rather than that
    all of them end at every start. It is said in the log and counted in ``headroom_plans_unreadable``. Contents are
    read when first asked for, for superseded plans are many and may be large. Threads may share one.
    """

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        """JSON of each plan by its name, in the order they were put in force."""
        self._read: dict[str, Plan] = {}
        self._unreadable: set[str] = set()
        self._lock = Lock()

    def add(self, record: Record) -> None:
        """Take in one record of ``plans.v1``; one without a value takes its plan back."""
        with self._lock:
            name = name_of_key(record.key)
            self._forget(name)
            if record.value is None:
                return
            try:
                published = decode(record.value)
            except UNREADABLE as error:
                self._pass_over(name, error)
            else:
                self._forget(published.name)
                self._contents[published.name] = bytes(published.plan)

    def get(self, name: str) -> Plan | None:
        """The plan version ``name`` (``id@version``); None while it has not been seen, and if it cannot be read."""
        with self._lock:
            return self._get(name)

    @property
    def last(self) -> tuple[str, Plan] | None:
        """The plan in force and its name, ``id@version``; None while none was published that can be read.

        The same object until a plan is published, so that who made something of it knows whether it still counts.
        """
        with self._lock:
            while self._contents:
                name = next(reversed(self._contents))
                if (plan := self._get(name)) is not None:
                    return name, plan
            return None

    def _get(self, name: str) -> Plan | None:
        plan = self._read.get(name)
        if plan is None and name in self._contents:
            try:
                plan = self._read[name] = Plan.model_validate_json(self._contents[name])
            except UNREADABLE as error:
                self._forget(name)
                self._pass_over(name, error)
        return plan

    def _forget(self, name: str) -> None:
        self._contents.pop(name, None)
        self._read.pop(name, None)
        self._unreadable.discard(name)
        metrics.PLANS_UNREADABLE.set(len(self._unreadable))

    def _pass_over(self, name: str, error: Exception) -> None:
        self._unreadable.add(name)
        metrics.PLANS_UNREADABLE.set(len(self._unreadable))
        _log.error("a published plan cannot be read and is as none", plan=name, why=str(error), do=f"See {_RUNBOOK}")

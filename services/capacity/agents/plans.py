"""The plan in force, as every process of capacity reads it from ``plans.v1``."""

from services.capacity.domain.projector import PlanInForce
from shared.plans import PublishedPlans


class Plans(PublishedPlans):
    """Published plans, and the one in force as a projection takes it."""

    _in_force: PlanInForce | None = None

    @property
    def in_force(self) -> PlanInForce | None:
        """The plan in force, the same object until another is; None while none was published."""
        if (last := self.last) is None:
            self._in_force = None
        elif self._in_force is None or self._in_force.plan is not last[1]:
            self._in_force = PlanInForce(*last)
        return self._in_force

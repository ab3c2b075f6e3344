"""The plan in force, as every process of capacity reads it from ``plans.v1``."""

from services.capacity.domain.projector import PlanInForce
from shared.schemas.plan import Plan
from shared.schemas.published_plan import decode as decode_plan
from shared.streams.shards import Record


class Plans:
    """The plan in force: the record of ``plans.v1`` that was written last."""

    def __init__(self) -> None:
        self.in_force: PlanInForce | None = None

    def add(self, record: Record) -> None:
        """Take in one record of ``plans.v1``."""
        if record.value is not None:
            published = decode_plan(record.value)
            self.in_force = PlanInForce(published.name, Plan.model_validate_json(bytes(published.plan)))

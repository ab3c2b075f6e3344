"""A plan that is published while an overlay's is being made: asked once more by itself, and then told."""

import json
from collections.abc import Callable

import pytest

from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce, Projector
from services.capacity.live import Answer, LiveBook
from services.capacity.overlays import ROWS, PlanMovedOn, answered
from shared.schemas.what_if import WhatIf
from tests.unit.capacity.plans import tethered
from tests.unit.capacity.test_live_book import Standing

LESS = WhatIf.model_validate({"plan_changes": {"pools": {"eng": {"capacity": {"per_week": 1.0}}}}})


class Published(LiveBook):
    """A live book under whose questions other plans are published, each just after something was prepared."""

    def __init__(self, *plans: PlanInForce) -> None:
        self._coming = list(plans)
        self.current = self._coming.pop(0)
        projector = Projector()
        super().__init__(projector, ProjectShard(self._which, projector), self._which, Standing())
        self._restore()

    def _which(self) -> PlanInForce:
        return self.current

    async def prepare(self, making: Callable[[PlanInForce], Answer]) -> Answer:
        made = await super().prepare(making)
        if self._coming:
            self.current = self._coming.pop(0)
        return made


def plans(many: int) -> list[PlanInForce]:
    return [PlanInForce(f"small@{number}", tethered(10.0, 40.0 + number)) for number in range(1, many + 1)]


@pytest.mark.parametrize("published", [0, 1])
async def test_one_plan_published_meanwhile_is_the_one_that_the_answer_is_about(published: int) -> None:
    book = Published(*plans(1 + published))
    said = json.loads(await answered(book, None, LESS, ROWS))  # type: ignore[arg-type]  # no deal is named
    assert said["plan"] == book.current.name == f"small@{1 + published}"
    capacities = {(row["before"]["capacity"], row["after"]["capacity"]) for row in said["positions"]}
    assert capacities == {(41.0 + published, 1.0)}


async def test_two_plans_published_meanwhile_are_told() -> None:
    with pytest.raises(PlanMovedOn, match="a plan was published just now"):
        await answered(Published(*plans(3)), None, LESS, ROWS)  # type: ignore[arg-type]  # no deal is named

"""The overlay that ships with the story, on the story's book as it is three weeks after the launch."""

from datetime import date
from pathlib import Path

from headroom.story import read_story
from services.capacity.domain import contribution
from services.capacity.domain.overlay import lay, named_in
from services.capacity.domain.projector import PlanInForce
from services.capacity.domain.what_if import compared
from shared.schemas import deal
from shared.schemas.plan_file import parse_plan
from shared.schemas.what_if_file import OverlayFile
from tests.unit.demo.model import Model

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
DAY = date(2026, 5, 18)


def test_the_standard_product_brings_the_release_back() -> None:
    story = read_story(EXAMPLE / "story.yaml")
    plan = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
    overlay = OverlayFile((EXAMPLE / "what-if.yaml").read_text(), "what-if.yaml").overlay
    model, now = Model(plan), story.start_of(DAY)
    model.tell(moment for moment in story.moments if moment.at <= now)
    model.look(now)
    live = model._project._projector
    records = {name: contribution.decode(deal.encode(model.deals[name])) for name in named_in(overlay)}
    laid = lay(live, PlanInForce("margin-volume-trap@1", plan), now, overlay, records)
    answer = compared(live, {}, laid, 5000)

    assert laid.lines[0] == 12
    assert laid.lines[1] == 20
    (release,) = (item for item in answer["work"] if item["work"] == "core-release")
    assert release["before"]["slip_weeks"] >= 5
    assert release["after"]["slip_weeks"] == 0
    added = {row["week"]: row["difference"].get("capacity", 0.0) for row in answer["positions"]
             if row["pool"] == "engineering"}  # fmt: skip
    assert {week for week, more in added.items() if more == 80.0} == {"2026-W23", "2026-W24", "2026-W25"}
    hired = {row["week"]: row["difference"].get("capacity", 0.0) for row in answer["positions"]
             if row["pool"] == "implementation"}  # fmt: skip
    assert (hired["2026-W23"], hired["2026-W24"]) == (40.0, 80.0)
    assert model.positions == live.positions, "what is live is as it was"

"""A process that no longer has the shard, and lives on beside the one that has it, says nothing of how things are."""

from services.triggers.agents import Begin
from services.triggers.app import create_role
from services.triggers.metrics import trigger_series
from shared.schemas import frame
from tests.unit.triggers.scenes import MONDAY, Log, at, feed, plan_json, plans, position, trigger

EPISODES, HELD, REJECTED = "trigger_episodes_active", "trigger_frames_held", "trigger_rules_rejected"


class Nothing:
    """A table without records."""

    async def read_to_end(self) -> None: ...


def said(name: str, **labels: str) -> float | None:
    return trigger_series.get_sample_value(f"headroom_{name}", labels)


def test_a_standby_holds_no_frames_and_has_no_episodes() -> None:
    known = plans(plan_json(trigger(), trigger(trigger="bad", when="overlaod > 1")))
    frames = [at(0, position(1, 0.5), complete=True), at(1, plan="p@2", complete=True)]
    shard = Log().restored(known, 0)
    feed(shard, [frame.encode(one) for one in frames], 0)
    shard.flush(MONDAY)
    assert (said(EPISODES, phase="firing"), said(HELD), said(REJECTED)) == (1.0, 1.0, 1.0)
    create_role(known, Begin(), Nothing()).ended(0)
    assert (said(EPISODES, phase="firing"), said(HELD), said(REJECTED)) == (None, 0.0, 0.0)

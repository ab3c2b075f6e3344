"""The projection's shard beside what it reads, and what it writes in words."""

from datetime import UTC, datetime
from itertools import count

import msgspec

from services.capacity.agents.fold import FoldShard
from services.capacity.agents.plans import Plans
from services.capacity.agents.project import ProjectShard
from shared.schemas import forecast, frame, position, published_plan
from shared.schemas.deal import Line
from shared.schemas.plan import Plan
from shared.topics import DEALS, FORECASTS, FRAMES, POSITIONS
from tests.unit.capacity.books import NOW
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import tethered
from tests.unit.capacity.records import FakeRecord, Log


def publish(made: Plans, content: Plan, version: int = 1) -> Plans:
    """Let ``made`` read of this plan as ``small@version``."""
    published = published_plan.PublishedPlan(
        id="small",
        version=version,
        sha256="",
        published=datetime(2026, 1, 1, tzinfo=UTC),
        publisher="ana",
        text="",
        plan=msgspec.Raw(content.model_dump_json().encode()),
    )
    made.add(FakeRecord(version, published.name.encode(), published_plan.encode(published)))
    return made


def plans(*versions: int) -> Plans:
    made = Plans()
    for version in versions:
        publish(made, tethered(10.0 * version, 100.0), version)
    return made


def folded(log: Log, deals: Log, **more) -> FoldShard:
    """A fold of all of ``deals`` that wrote what it knows to ``log``."""
    shard = FoldShard(deals.partition)
    shard.apply(deals.batch(restoring=True))
    shard.restored({DEALS: deals.end})
    flush(shard, log)
    return shard


def flush(shard: FoldShard, log: Log) -> None:
    for out in shard.flush(NOW):
        log.write(out.key, out.value)


def started(made: Plans, *logs: Log) -> ProjectShard:
    """A shard that has read ``logs``; between its flushes lies more time than anything waits."""
    shard = ProjectShard(lambda: made.in_force, seconds=count(step=10.0).__next__)
    for log in logs:
        if log.records:
            shard.apply(log.batch(restoring=True))
    assert shard.flush(NOW) == []
    shard.restored({log.topic: log.end for log in logs})
    return shard


def read(outgoing) -> tuple[frame.Frame, dict[tuple, position.PositionRecord | None]]:
    *rows, made = outgoing
    assert made.topic == FRAMES
    forecasts = [out for out in rows if out.topic == FORECASTS and out.value is not None]
    told = [forecast.decode(out.value).forecast for out in forecasts]
    assert told == (frame.decode(made.value).forecasts or [])
    rows = [out for out in rows if out.topic != FORECASTS]
    assert {out.topic for out in rows} <= {POSITIONS}
    found = {
        tuple(msgspec.json.decode(out.key)): position.decode(out.value) if out.value is not None else None
        for out in rows
    }
    return frame.decode(made.value), found


def deals_log(*stages: str) -> Log:
    log = Log(DEALS)
    for number, stage in enumerate(stages):
        log.write(f"crm/{number}", deal(number, Line("basic", quantity=1.0), stage=stage, time=number))
    return log

"""Read models and places rebuilt on a real broker and database, beside the processes they belong to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiokafka
import sqlalchemy as sa
from aiokafka import TopicPartition

from headroom.rebuild_places import committed
from shared.db import create_engine
from shared.schemas import deal, episode, frame
from shared.schemas.deal import Deal, Line
from shared.schemas.episode import Episode
from shared.schemas.frame import ListedDeal
from shared.topics import DEALS, EPISODES, FRAMES, PLANS
from tests.integration.capacity.system import Topics
from tests.integration.operator.processes import environment, headroom, running
from tests.unit.triggers.scenes import at, plan_json, position, published, slipping, trigger
from tests.waiting import eventually

TABLES = ("positions", "work_states", "listed_deals", "forecasts", "projection", "deals", "views_offsets")


async def tables(url: str) -> dict[str, list[Mapping[str, Any]]]:
    """Everything in the read models, by table."""
    engine = create_engine(url)
    async with engine.connect() as connection:
        found = {}
        for name in TABLES:
            rows = await connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY 1, 2"))
            found[name] = [dict(row) for row in rows.mappings()]
    await engine.dispose()
    return found


async def spoil(url: str) -> None:
    """What an operator finds who looks into a table that somebody edited."""
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM deals WHERE id = 'crm/1'"))
        await connection.execute(sa.text("UPDATE positions SET overload = 0.123"))
    await engine.dispose()


async def fill(log: Topics) -> None:
    """A plan, twenty deals, and frames of which the second complete one makes those before it past."""
    listed = [ListedDeal("crm/7", "stale", 5.0)]
    frames = [
        at(0, position(0, 0.1), position(9, 0.9), complete=True),
        at(1, position(0, 0.2)),
        at(2, position(0, 0.3), position(1, 0.4), complete=True, work=[slipping(3.0)], listed=listed),
        at(3, position(1, 0.5)),
        at(4, position(2, 0.6), gone=[("implementation", "2026-W14")]),
    ]
    made = [Deal(id=f"crm/{n}", source="crm", object=str(n), version=n + 1, lines=[Line("basic")]) for n in range(20)]
    await log.write(PLANS, [(b"p@1", published(plan_json()))])
    for number in (0, 1):
        await log.write(DEALS, [(one.id.encode(), deal.encode(one)) for one in made[number::2]], number)
    await log.write(FRAMES, [(b"", frame.encode(one)) for one in frames])


async def test_read_models_are_what_they_were_though_views_runs(log: Topics, migrated_url: str, tmp_path: Path) -> None:
    await fill(log)
    variables = environment(log.kafka, migrated_url)
    async with running("views", logs=tmp_path, **variables) as views:

        async def filled() -> dict[str, list[Mapping[str, Any]]]:
            found = await tables(migrated_url)
            assert (len(found["deals"]), [row["frame"] for row in found["projection"]]) == (20, [4])
            return found

        before = await eventually(filled, within=60)
        assert len(before["positions"]) == 2
        await spoil(migrated_url)
        said = await headroom("rebuild", "read-models", "--yes", "--wait", "60", variables=variables)
        assert "frames from offset 2" in said.output
        assert "Filled again" in said.output
        assert await filled() == before
        assert views.status()[0].restarts == 1, "it noticed by itself that the tables were taken back"

        # And it goes on from there.
        await log.write(FRAMES, [(b"", frame.encode(at(5, position(3, 0.7))))])

        async def moved_on() -> bool:
            return (await tables(migrated_url))["projection"][0]["frame"] == 5

        await eventually(moved_on, within=30)


async def test_a_place_beyond_a_recreated_topic_is_set_back(log: Topics, migrated_url: str, tmp_path: Path) -> None:
    await fill(log)
    variables = environment(log.kafka, migrated_url)
    await commit(log, "views", DEALS, 1, 500)
    await commit(log, "normalise", DEALS, 0, 3)
    async with running("views", logs=tmp_path, ready=False, **variables):
        await eventually(lambda: "headroom rebuild all" in (tmp_path / "views.log").read_text(), within=60)

    async def emptied() -> str:
        return (await headroom("rebuild", "all", "--yes", "--wait", "0", variables=variables)).output

    said = await emptied()
    assert "views was at 500 of deals.v1[1], which ends at 10: set back" in said
    assert (await committed(log.kafka, "views"))[log.kafka.topic_prefix + DEALS.name, 1] == 0
    assert "set back" not in await emptied(), "what is in its topic is left as it is"
    async with running("views", logs=tmp_path, **variables):

        async def filled() -> bool:
            return len((await tables(migrated_url))["deals"]) == 20

        await eventually(filled, within=60)


async def test_episodes_go_on_over_recreated_frames(log: Topics, migrated_url: str, tmp_path: Path) -> None:
    firing = Episode(
        trigger="overcommitted", scope="implementation", number=3, phase="firing", applied=9000, transition=1,
        since=at(0).now, fired=at(0).now, asked=at(0).now, severity="critical", recalibration="r-3",
    )  # fmt: skip
    key = episode.record_key(firing.trigger, firing.scope)
    await log.write(EPISODES, [(key, episode.encode(firing))])
    await log.write(PLANS, [(b"p@1", published(plan_json(trigger())))])
    await log.write(FRAMES, [(b"", frame.encode(at(1, position(0, 0.9), complete=True)))])
    variables = environment(log.kafka, migrated_url)
    async with running("triggers", logs=tmp_path, ready=False, **variables):
        await eventually(lambda: "headroom rebuild all" in (tmp_path / "triggers.log").read_text(), within=60)
        said = await headroom("rebuild", "all", "--yes", "--wait", "0", variables=variables)
        assert "triggers was at 9001 of frames.v1[0], which ends at 1: set back" in said.output

        # The supervisor started it again; now the breach ends, and with it the episode that began on other frames.
        await log.write(FRAMES, [(b"", frame.encode(at(2, position(0, 0.01))))])

        async def went_on() -> Episode:
            row = episode.decode((await log.last(EPISODES))[key])
            assert row.phase != "firing"
            return row

        row = await eventually(went_on, within=60)
    assert (row.number, row.applied) == (3, 1), "the same episode, not one more"


async def commit(log: Topics, group: str, topic: Any, partition: int, offset: int) -> None:
    """As if a group had come so far before its topic was recreated."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=log.kafka.bootstrap, group_id=log.kafka.topic_prefix + group, enable_auto_commit=False
    )
    await consumer.start()
    tp = TopicPartition(log.kafka.topic_prefix + topic.name, partition)
    consumer.assign([tp])
    await consumer.commit({tp: offset})
    await consumer.stop()

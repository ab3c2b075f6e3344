"""Cells rebuilt from the deals on real Kafka: equal to what was there, also beside a running fold and after a loss."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from headroom import topics
from shared.schemas import cell as cells
from shared.topics import CELLS, DEALS
from tests.integration.capacity.system import Topics
from tests.integration.capacity.test_fold_and_project import cells_are, deals
from tests.integration.operator.processes import environment, headroom, running
from tests.waiting import eventually

STRAY = cells.CellKey("stray", "", False, "new", "units", "won", "2026-W20", "2026-05")


def stray(partition: int, generation: int) -> tuple[bytes, bytes]:
    """A cell that no deal accounts for."""
    member = cells.Member("crm/none", 0, 7.0, None, 0.0, "2026-05-12")
    sums = cells.OwnSums(), cells.StageSums(1, 7.0, 49.0, 343.0, 0.0), cells.ListSums()
    cell = cells.Cell(
        partition=partition, generation=generation, key=STRAY, own=sums[0], stage=sums[1], listed=sums[2],
        members=[member],
    )  # fmt: skip
    return cells.cell_record_key(partition, STRAY), cells.encode(cell)


async def test_cells_damaged_beside_a_running_fold_are_what_they_were(log: Topics, tmp_path: Path) -> None:
    first, second = deals(0, 60), deals(60, 100, stage="won")
    await log.write(DEALS, first, 0)
    await log.write(DEALS, second, 1)
    variables = environment(log.kafka)
    async with running("fold", logs=tmp_path, **variables) as fold:
        await eventually(lambda: cells_are(log, [dict(first), dict(second)]), within=90)
        before, marks = await log.cells()
        lost = next(key for key in await log.last(CELLS) if msgspec.json.decode(key)[1] != "mark")
        await log.write(CELLS, [stray(0, marks[0].generation), (lost, None)])
        assert set((await log.cells())[0]) != set(before), "the damage is there, and no restart would mend all of it"

        said = await headroom("rebuild", "cells", "--yes", variables=variables)
        assert "60 deals, 1 taken out" in said.output

        async def mended() -> bool:
            after, _ = await log.cells()
            return unowned(after) == unowned(before)

        await eventually(mended, within=30)

        # The fold was refused its place: at the next deal it ends, starts again and says the same with that deal in.
        changed = deals(0, 1, stage="won")
        await log.write(DEALS, changed, 0)
        await eventually(lambda: cells_are(log, [dict(first) | dict(changed), dict(second)]), within=90)
        assert fold.status()[0].restarts >= 1
    assert "Fenced" in (tmp_path / "fold.log").read_text() or "epoch" in (tmp_path / "fold.log").read_text()


async def test_recreated_deals_leave_no_cell_of_the_former_ones(log: Topics, tmp_path: Path) -> None:
    former, present = deals(0, 80), deals(200, 210, stage="won")
    await log.write(DEALS, former, 0)
    variables = environment(log.kafka)
    async with running("fold", logs=tmp_path, **variables):
        await eventually(lambda: cells_are(log, [dict(former), {}]), within=90)
    await recreate(log)
    await log.write(DEALS, present, 0)
    async with running("fold", logs=tmp_path, **variables):

        async def marked() -> bool:
            return (await log.cells())[1][0].upto == len(present)

        await eventually(marked, within=90)
        left = {key for key in await log.last(CELLS) if b"qualified" in key}
        assert left, "a restart does not void what is of a higher generation than the recreated topic can have"
        await headroom("rebuild", "cells", "--yes", variables=variables)
        await eventually(lambda: cells_are(log, [dict(present), {}]), within=30)
        assert not {key for key in await log.last(CELLS) if b"qualified" in key}
    # Repeated while nobody folds, it changes nothing.
    before = await log.cells()
    await headroom("rebuild", "cells", "--yes", variables=variables)
    assert await log.cells() == before


async def test_cells_that_were_lost_whole_come_back_without_a_fold(log: Topics) -> None:
    written = deals(0, 30)
    await log.write(DEALS, written, 1)
    await headroom("rebuild", "cells", "--yes", variables=environment(log.kafka))
    # A transaction's end reaches its topic a moment after it was committed.
    await eventually(lambda: cells_are(log, [{}, dict(written)]), within=30)


async def test_a_system_without_topics_says_so(kafka: str, topic_prefix: str) -> None:
    variables = {"HEADROOM_KAFKA__BOOTSTRAP": kafka, "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix}
    result = await headroom("rebuild", "cells", "--yes", variables=variables, exit_code=1)
    assert "headroom topics apply" in str(result.exception)


def unowned(found: dict[tuple, cells.Cell]) -> dict[tuple, tuple]:
    """The cells without who wrote them, their sums to nine digits."""

    def rounded(sums: msgspec.Struct) -> list[float]:
        return [float(f"{value:.9g}") for value in msgspec.structs.astuple(sums)]

    return {
        key: (rounded(cell.own), rounded(cell.stage), rounded(cell.listed), cell.members) for key, cell in found.items()
    }


async def recreate(log: Topics) -> None:
    """Delete ``deals.v1`` and make it anew, as somebody does who restores a cluster."""
    admin = AIOKafkaAdminClient(bootstrap_servers=log.kafka.bootstrap)
    await admin.start()
    try:
        name = log.kafka.topic_prefix + DEALS.name
        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await admin.list_topics()

        await eventually(gone)
    finally:
        await admin.close()
    await topics.apply(log.kafka)
    await asyncio.gather(log.__aexit__(), return_exceptions=False)
    await log.__aenter__()


@pytest.mark.parametrize("what", ["cells", "read-models", "all"])
async def test_nobody_is_asked_where_nobody_is(what: str) -> None:
    result = await headroom("rebuild", what, variables={}, exit_code=1)
    assert "--yes" in str(result.exception)

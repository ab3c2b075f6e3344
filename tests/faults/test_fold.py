"""Folds killed and stalled while deals pour in: afterwards the cells are the sums of the deals on the log, no more.

The truth is recomputed from ``deals.v1`` by exact fractions; it shares no code with the fold.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from shared.schemas.cell import Cell, Mark
from shared.schemas.deal import Deal, Line, encode
from shared.topics import DEAD_LETTERS, DEALS
from tests.integration.capacity.conftest import log as log
from tests.integration.capacity.system import Process, Topics
from tests.unit.capacity import oracle
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("HEADROOM_FAULT_RUNS", "4"))
BATCH = 50
PACE = 0.2
"""Seconds between two batches: the load must outlast the faults."""
START_WITHIN = 120
STAGES = ["qualified", "commit", "won", "lost"]


class Load:
    """Deals that keep changing, moving between cells and being deleted, until told to stop."""

    def __init__(self, log: Topics) -> None:
        self._log, self._dice = log, random.Random(11)
        self.events = 0
        self.done = False

    async def run(self) -> None:
        while not self.done:
            for partition in range(self._log.kafka.partitions):
                batch = [self._change(partition) for _ in range(BATCH)]
                await self._log.write(DEALS, batch, partition)
                self.events += BATCH
            await asyncio.sleep(PACE)

    def _change(self, partition: int) -> tuple[bytes, bytes | None]:
        dice = self._dice
        number = dice.randrange(400) * self._log.kafka.partitions + partition
        key = f"crm/{number}".encode()
        if dice.random() < 0.02:
            return key, None
        lines = [
            Line(
                product=dice.choice(["basic", "enterprise", "extra"]),
                quantity=dice.choice([None, 1.0, 2.5, 40.0]),
                amount=dice.choice([None, 1000.0, 250.5]),
                probability=dice.choice([None, 0.3]),
            )
            for _ in range(dice.randrange(1, 4))
        ]
        made = Deal(
            id=key.decode(),
            source="crm",
            object=str(number),
            version=self.events,
            time=self.events,
            deleted=dice.random() < 0.05,
            stage=dice.choice(STAGES),
            close=date(2026, 4, 1) + timedelta(days=dice.randrange(120)),
            lines=lines,
        )
        return key, encode(made)


@asynccontextmanager
async def running(load: Load) -> AsyncIterator[Load]:
    task = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.done = True
        await task


async def reconciled(log: Topics) -> bool:
    """Whether the cells on the log are exactly those of the deals on the log."""
    expected: dict[tuple, dict] = {}
    ends: dict[int, int] = {}
    for partition in range(log.kafka.partitions):
        records = await log.read(DEALS, partition)
        ends[partition] = records[-1].offset + 1 if records else 0
        last = {record.key.decode(): record.value for record in records}
        expected |= {(partition, *key): cell for key, cell in oracle.cells_of(last).items()}
    cells, marks = await log.cells()
    assert {partition: mark.upto for partition, mark in marks.items()} == ends
    differ(cells, marks, expected)
    return True


def differ(cells: dict[tuple, Cell], marks: dict[int, Mark], expected: dict[tuple, dict]) -> None:
    assert set(cells) == set(expected)
    for key, cell in expected.items():
        for part in ("own", "stage", "listed"):
            sums = getattr(cells[key], part)
            for name, exact in cell[part].items():
                assert getattr(sums, name) == pytest.approx(float(exact), rel=1e-9), (key, part, name)
        assert [(m.deal, m.line, m.q) for m in cells[key].members] == [m[:3] for m in cell["members"]]


async def moving(log: Topics, beyond: int) -> int:
    """How far the folds have come together, once that is beyond ``beyond``."""
    _, marks = await log.cells()
    upto = sum(mark.upto for mark in marks.values())
    return upto if upto > beyond else 0


async def test_killed_again_and_again_under_load(log: Topics, tmp_path: Path) -> None:
    upto = 0
    async with running(Load(log)) as load:
        for number in range(KILLS):
            with Process("fold", log.kafka, tmp_path / f"{number}"):
                upto = await eventually(lambda least=upto: moving(log, least), within=START_WITHIN, every=0.2)
                await asyncio.sleep(random.Random(number).random())
        events = load.events
    assert events > upto
    with Process("fold", log.kafka, tmp_path / "last"):
        await eventually(lambda: reconciled(log), within=START_WITHIN, every=0.5)


async def test_a_stalled_worker_that_wakes_up_writes_nothing_over_its_successor(log: Topics, tmp_path: Path) -> None:
    async with running(Load(log)):
        with Process("fold", log.kafka, tmp_path / "stalled") as stalled:
            upto = await eventually(lambda: moving(log, 0), within=START_WITHIN, every=0.2)
            os.kill(stalled.pid, signal.SIGSTOP)
            with Process("fold", log.kafka, tmp_path / "successor") as successor:
                await eventually(lambda: _generation_after(log, upto), within=START_WITHIN, every=0.2)
                os.kill(stalled.pid, signal.SIGCONT)
                # The broker refuses the stalled one; it either ends or rejoins and shares the work.
                upto = await eventually(lambda: moving(log, upto), within=START_WITHIN, every=0.2)
                await eventually(lambda least=upto: moving(log, least), within=START_WITHIN, every=0.2)
                assert successor.running
    with Process("fold", log.kafka, tmp_path / "last"):
        await eventually(lambda: reconciled(log), within=START_WITHIN, every=0.5)


async def _generation_after(log: Topics, upto: int) -> bool:
    """Whether a successor has restored: every partition's generation is past where the stalled one stood."""
    _, marks = await log.cells()
    return all(mark.generation > 0 for mark in marks.values()) and sum(m.generation for m in marks.values()) >= upto


async def test_the_letter_of_a_broken_deal_survives_a_fold_killed_before_it_wrote_it(
    log: Topics, tmp_path: Path
) -> None:
    """What a fold that is killed after it read and before it flushed leaves: a broken deal beyond its last mark."""
    with Process("fold", log.kafka, tmp_path / "first") as first:
        await eventually(lambda: marked(log, 0), within=START_WITHIN, every=0.2)
        first.kill()
    await log.write(DEALS, [(b"crm/9", b"no deal")])
    for life in ("second", "third"):
        with Process("fold", log.kafka, tmp_path / life) as process:
            await eventually(lambda: marked(log, 1), within=START_WITHIN, every=0.2)
            process.kill()
        letters = [dict(record.headers)["ce_id"] for record in await log.read(DEAD_LETTERS)]
        assert set(letters) == {b"deals.v1/0/0"}, life


async def marked(log: Topics, upto: int) -> bool:
    """Whether the first partition's mark says so much; the letters of a flush are in its transaction."""
    _, marks = await log.cells()
    return 0 in marks and marks[0].upto == upto


async def test_workers_come_and_go(log: Topics, tmp_path: Path) -> None:
    async with running(Load(log)):
        with Process("fold", log.kafka, tmp_path / "one"):
            upto = await eventually(lambda: moving(log, 0), within=START_WITHIN, every=0.2)
            with Process("fold", log.kafka, tmp_path / "two") as two:
                upto = await eventually(lambda least=upto: moving(log, least), within=START_WITHIN, every=0.2)
                two.stop()
            upto = await eventually(lambda least=upto: moving(log, least), within=START_WITHIN, every=0.2)
    with Process("fold", log.kafka, tmp_path / "last"):
        await eventually(lambda: reconciled(log), within=START_WITHIN, every=0.5)

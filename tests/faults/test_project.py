"""The projection killed while the book moves: afterwards positions and frames say what the deals on the log say.

What is booked and expected is recomputed from ``deals.v1``, line by line; it shares no code with the projection.
"""

import datetime as dt
import json
import os
from pathlib import Path

import pytest

from shared.schemas import frame, position
from shared.schemas.position import Position
from shared.schemas.week import add_weeks, week_of
from shared.topics import DEALS, FRAMES, POSITIONS
from tests.faults.test_fold import START_WITHIN, Load, reconciled, running
from tests.integration.capacity.conftest import log as log
from tests.integration.capacity.system import Process, Topics, at
from tests.unit.capacity.plans import tethered
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("HEADROOM_FAULT_RUNS", "4"))
NOW = "2026-03-30T08:00:00+00:00"
WEEKS, EFFORT = 4, 10.0


async def asked(log: Topics) -> dict[str, tuple[float, float]]:
    """Booked and expected hours by week, from the deals as they are last on the log."""
    hours: dict[str, tuple[float, float]] = {}
    for partition in range(log.kafka.partitions):
        for raw in (await log.last(DEALS, partition)).values():
            deal = json.loads(raw)
            for line in [] if deal.get("deleted") else deal["lines"]:
                if line["product"] != "basic" or deal["stage"] == "lost":
                    continue
                # The plan says one unit where a line says no quantity, and 40 % for an open one without its own chance.
                units = line.get("quantity") or 1.0
                chance = line.get("probability", 0.4 if deal["stage"] == "qualified" else 0.0)
                for late in range(WEEKS):
                    week = add_weeks(week_of(dt.date.fromisoformat(deal["close"])), late)
                    booked, expected = hours.get(week, (0.0, 0.0))
                    share = units * EFFORT / WEEKS
                    won = deal["stage"] == "won"
                    hours[week] = (booked + share, expected) if won else (booked, expected + share * chance)
    return hours


def say(rows: dict[str, Position], hours: dict[str, tuple[float, float]]) -> bool:
    assert rows
    for week, row in rows.items():
        booked, expected = hours.get(week, (0.0, 0.0))
        assert row.booked == pytest.approx(booked, rel=1e-8, abs=1e-8), week
        assert row.expected == pytest.approx(expected, rel=1e-8, abs=1e-8), week
    return True


async def positions(log: Topics) -> dict[str, Position]:
    return {
        record.week: record
        for record in (position.decode(value).position for value in (await log.last(POSITIONS)).values())
    }


async def as_frames_tell(log: Topics) -> dict[str, Position]:
    """The table as a reader of frames has it: from the last complete one on."""
    table: dict[str, Position] = {}
    for record in await log.read(FRAMES):
        made = frame.decode(record.value)
        if made.complete:
            table.clear()
        table |= {row.week: row for row in made.positions}
    return table


async def lives(log: Topics) -> tuple[int, int]:
    """How many complete frames there are, each the beginning of a life, and how many frames since the last of them."""
    complete = [frame.decode(record.value).complete for record in await log.read(FRAMES)]
    since = complete[::-1].index(True) if any(complete) else 0
    return sum(complete), since


async def test_killed_again_and_again_under_load(log: Topics, tmp_path: Path) -> None:
    await log.publish(tethered(EFFORT, 400.0, curve={"shape": "flat", "weeks": WEEKS}))
    clock = at(NOW)
    with Process("fold", log.kafka, tmp_path / "fold"):
        async with running(Load(log)):
            for number in range(KILLS):

                async def well_alive(life: int = number + 1) -> bool:
                    begun, told = await lives(log)
                    return begun == life and told >= 3

                with Process("project", log.kafka, tmp_path / f"{number}", **clock):
                    await eventually(well_alive, within=START_WITHIN, every=0.1)
        await eventually(lambda: reconciled(log), within=START_WITHIN, every=0.5)
        hours = await asked(log)
        assert sum(booked for booked, _ in hours.values()) > 0
        with Process("project", log.kafka, tmp_path / "last", **clock):

            async def all_told() -> bool:
                # Each life begins with the whole; nothing is emptied first.
                begun, _ = await lives(log)
                assert begun == KILLS + 1
                return say(await positions(log), hours) and say(await as_frames_tell(log), hours)

            await eventually(all_told, within=START_WITHIN, every=0.5)

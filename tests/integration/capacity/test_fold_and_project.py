"""Fold and project as processes on real Kafka: deals and a plan in, cells, frames and positions out."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from shared.schemas import forecast, frame, position, report
from shared.schemas.deal import Line, Stamp
from shared.schemas.report import Report
from shared.topics import DEALS, FORECASTS, FRAMES, POSITIONS, REPORTS
from tests.integration.capacity.system import Process, Topics, at
from tests.unit.capacity import oracle
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import tethered
from tests.waiting import eventually

NOW = "2026-03-30T08:00:00+00:00"


def deals(first: int, last: int, stage: str = "qualified") -> list[tuple[bytes, bytes]]:
    return [
        (
            f"crm/{n}".encode(),
            deal(
                n,
                Line("basic", quantity=1.0 + n % 3, amount=100.0 * n),
                close=(date(2026, 4, 1) + timedelta(days=n % 40)).isoformat(),
                stage=stage,
                time=1000 + n,
            ),
        )
        for n in range(first, last)
    ]


async def cells_are(log: Topics, written: list[dict[bytes, bytes]]) -> bool:
    """Whether the cells are the sums of the last deals of each partition and the marks are at its end."""
    cells, marks = await log.cells()
    ends = [len(await log.read(DEALS, partition)) for partition in range(len(written))]
    if {partition: mark.upto for partition, mark in marks.items()} != dict(enumerate(ends)):
        return False
    found = {
        (partition, *key): cell
        for partition, records in enumerate(written)
        for key, cell in oracle.cells_of({k.decode(): v for k, v in records.items()}).items()
    }
    assert set(cells) == set(found)
    for key, cell in found.items():
        assert cells[key].stage.q == pytest.approx(float(cell["stage"]["q"]), rel=1e-9)
        assert cells[key].stage.net == pytest.approx(float(cell["stage"]["net"]), rel=1e-9)
        assert [(m.deal, m.q) for m in cells[key].members] == [(m[0], m[2]) for m in cell["members"]]
    return True


async def test_a_deal_becomes_a_position(log: Topics, tmp_path: Path) -> None:
    await log.publish(tethered(10.0, 100.0))
    first, second = deals(0, 200), deals(200, 300, stage="won")
    await log.write(DEALS, first, 0)
    await log.write(DEALS, second, 1)
    with Process("fold", log.kafka, tmp_path / "fold"), Process("project", log.kafka, tmp_path / "project", **at(NOW)):
        await eventually(lambda: cells_are(log, [dict(first), dict(second)]), within=90)
        units = sum(0.4 * (1 + n % 3) for n in range(200)), sum(1.0 + n % 3 for n in range(200, 300))

        async def projected() -> list[position.Position]:
            rows = [position.decode(value).position for value in (await log.last(POSITIONS)).values()]
            assert sum(row.expected for row in rows) == pytest.approx(10 * units[0])
            assert sum(row.booked for row in rows) == pytest.approx(10 * units[1])
            return rows

        rows = await eventually(projected, within=60)
        assert len(rows) == 39

        await log.write(DEALS, [(key, None) for key, _ in first], 0)
        units = 0.0, units[1]
        await eventually(projected, within=60)

    async def told() -> list[frame.Frame]:
        # A transaction's end reaches each of its topics on its own.
        frames = await _frames_after(log, 0)
        seen = {(row.pool, row.week): row for made in frames for row in made.positions}
        assert seen
        assert sum(row.booked for row in seen.values()) == pytest.approx(10 * units[1])
        assert not any(row.expected for row in seen.values())
        return frames

    frames = await eventually(told)
    assert frames[0].complete
    assert (frames[0].plan, frames[0].week) == ("small@1", "2026-W14")
    assert frames[-1].book_time == 1299


async def test_a_deal_without_a_rate_is_listed_and_a_report_moves_a_deal(log: Topics, tmp_path: Path) -> None:
    await log.publish(tethered(10.0, 100.0))
    foreign = deal(1, Line("basic", quantity=3.0, amount=900.0), stage="won", currency="USD")
    await log.write(DEALS, [(b"crm/1", foreign), *deals(2, 3, stage="won")], 0)
    start = Report(
        kind="delivery-start", source="jira", object="1", reporter="ana", stamp=Stamp(1), deal="crm/1",
        day=date(2026, 6, 3),
    )  # fmt: skip
    await log.write(REPORTS, [(report.record_key(start), report.encode(start))])
    with Process("fold", log.kafka, tmp_path / "fold"), Process("project", log.kafka, tmp_path / "project", **at(NOW)):

        async def told() -> bool:
            frames = await _frames_after(log, 0)
            rows = {row.week: row.booked for made in frames for row in made.positions if row.booked}
            assert rows == {"2026-W23": 30.0, "2026-W14": 30.0}
            (listed, *_) = [made.listed for made in reversed(frames) if made.listed is not None]
            assert [(row.deal, row.reason) for row in listed] == [("crm/1", "no-rate")]
            (counts, *_) = [made.listed_counts for made in reversed(frames) if made.listed_counts is not None]
            assert counts == [frame.ListedCount("no-rate", 1)]
            return True

        await eventually(told, within=90)


async def test_a_second_life_publishes_the_whole_again_and_nothing_dips(log: Topics, tmp_path: Path) -> None:
    await log.publish(tethered(10.0, 100.0))
    written = deals(0, 100)
    await log.write(DEALS, written, 0)
    clock = at(NOW)
    with Process("fold", log.kafka, tmp_path / "f1"), Process("project", log.kafka, tmp_path / "p1", **clock):
        await eventually(lambda: log.last(POSITIONS), within=90)
        await eventually(lambda: cells_are(log, [dict(written), {}]), within=60)
    # Killed; while nobody folds, half of the deals move.
    moved = deals(0, 50, stage="won")
    await log.write(DEALS, moved, 0)
    before = len(await log.read(FRAMES))
    with Process("project", log.kafka, tmp_path / "p2", **clock):
        first = await eventually(lambda: _frames_after(log, before), within=90)
        assert first[0].complete
        # The last owner's cells still stand: what nobody has confirmed is not taken away before the new owner speaks.
        assert sum(row.expected for row in first[0].positions) == pytest.approx(4 * sum(1 + n % 3 for n in range(100)))
        with Process("fold", log.kafka, tmp_path / "f2"):
            await eventually(lambda: cells_are(log, [dict(written) | dict(moved), {}]), within=90)

            async def moved_on() -> bool:
                frames = await _frames_after(log, before)
                rows = {row.week: row for made in frames for row in made.positions}
                return sum(row.booked for row in rows.values()) == pytest.approx(10 * sum(1 + n % 3 for n in range(50)))

            await eventually(moved_on, within=60)
    for made in await _frames_after(log, before):
        assert all(row.exposure > 0 or row.booked > 0 for row in made.positions if row.week == "2026-W15")


async def test_a_forecast_says_what_changed_and_says_it_again_after_a_kill(log: Topics, tmp_path: Path) -> None:
    async def forecasts() -> dict[str, forecast.Forecast]:
        rows = [forecast.decode(value) for value in (await log.last(FORECASTS)).values()]
        return {row.forecast.segment: row.forecast for row in rows if row.forecast.period == "2026-Q2"}

    await log.publish(tethered(10.0, 100.0))
    await log.write(DEALS, deals(0, 20), 0)
    clock = at(NOW)
    with Process("fold", log.kafka, tmp_path / "f1"), Process("project", log.kafka, tmp_path / "p1", **clock):

        async def of(count: int) -> forecast.Forecast:
            whole = (await forecasts()).get("*")
            assert whole is not None
            assert whole.bookings == pytest.approx(0.4 * sum(100.0 * n for n in range(count)))
            return whole

        first = await eventually(lambda: of(20), within=90)
        await log.write(DEALS, deals(20, 21), 0)
        second = await eventually(lambda: of(21), within=60)
    assert (second.bookings_change, second.since) == (pytest.approx(800.0), first.at)
    assert [(pool.pool, pool.effort_change) for pool in second.pools] == [("eng", pytest.approx(0.4 * 10 * 3))]
    told, before = await forecasts(), len(await log.read(FRAMES))
    with Process("fold", log.kafka, tmp_path / "f2"), Process("project", log.kafka, tmp_path / "p2", **clock):

        async def told_again() -> list[forecast.Forecast]:
            complete = [made for made in await _frames_after(log, before) if made.complete]
            return [row for made in complete[:1] for row in made.forecasts or [] if row.period == "2026-Q2"]

        assert {row.segment: row for row in await eventually(told_again, within=90)} == told
    assert await forecasts() == told


async def _frames_after(log: Topics, count: int) -> list[frame.Frame]:
    return [frame.decode(record.value) for record in (await log.read(FRAMES))[count:]]

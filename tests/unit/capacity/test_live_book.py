"""The live book without a broker: questions before it is read, without a plan, in a crowd, and a topic made anew."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce, Projector
from services.capacity.live import MOST_PREPARED, MOST_WAITING, LiveBook
from shared.clock import WallClock
from shared.errors import LogRewound, NotReady
from shared.schemas import cell as cells
from shared.streams.metrics import DEAD_LETTERS
from shared.topics import CELLS, REPORTS
from tests.unit.capacity.books import NOW
from tests.unit.capacity.plans import tethered
from tests.unit.capacity.records import FakeRecord

KEY = cells.CellKey("basic", "", False, "new", "units", "qualified", "2026-W14", "2026-04")
MEMBER = cells.Member("crm/1", 0, 2.0, None, 0.0, "2026-04-01")


class Standing(WallClock):
    """Time stands still."""

    def now(self) -> datetime:
        return NOW.astimezone(UTC)


def live_book(*, plan: bool = True) -> LiveBook:
    in_force = PlanInForce("small@1", tethered(10.0, 40.0)) if plan else None
    projector = Projector()
    return LiveBook(projector, ProjectShard(lambda: in_force, projector), lambda: in_force, Standing())


def flushed(offset: int) -> list[FakeRecord]:
    """One deal of two units, and the mark that lets it count."""
    sums = {"own": cells.OwnSums(), "stage": cells.StageSums(1, 2.0, 4.0, 8.0), "listed": cells.ListSums()}
    one = cells.Cell(partition=0, generation=0, key=KEY, members=[MEMBER], **sums)
    mark = cells.Mark(partition=0, generation=0, upto=7)
    return [
        FakeRecord(offset, cells.cell_record_key(0, KEY), cells.encode(one)),
        FakeRecord(offset + 1, cells.mark_record_key(0), cells.encode(mark)),
    ]


async def test_it_says_what_is_missing_until_it_can_answer():
    book = live_book(plan=False)
    with pytest.raises(NotReady, match="the book is not read yet"):
        await book.ask(lambda live: live.now)
    book._restore()
    with pytest.raises(NotReady, match="no plan is in force"):
        await book.ask(lambda live: live.now)


async def test_questions_see_what_came_before_them():
    book = live_book()
    book._restore()
    empty = await book.ask(lambda live: live.projector.positions["eng", "2026-W14"].expected)
    book.take(CELLS, flushed(0))
    full = await book.ask(lambda live: live.projector.positions["eng", "2026-W14"].expected)
    assert (empty, full) == (0.0, 8.0)
    assert await book.reached() == {0: 7}


async def test_a_broken_record_is_no_dead_letter_of_one_who_only_follows():
    book = live_book()
    book._restore()
    counted = DEAD_LETTERS.labels("broken-reports.v1")._value.get()
    book.take(REPORTS, [FakeRecord(0, b"k", b"{")])
    assert await book.ask(lambda live: live.in_force.name) == "small@1"
    assert DEAD_LETTERS.labels("broken-reports.v1")._value.get() == counted


async def test_more_than_can_be_answered_soon_are_asked_to_come_again():
    book = live_book()
    book._restore()
    asked = [asyncio.ensure_future(book.ask(lambda live: live.now)) for _ in range(MOST_WAITING + 5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, NotReady)]
    assert len(refused) == 5
    assert await book.ask(lambda live: live.now) == NOW, "and then there is room again"


async def test_what_is_made_beside_the_book_holds_up_no_question():
    book, go_on = live_book(), threading.Event()
    with pytest.raises(NotReady, match="the book is not read yet"):
        await book.prepare(lambda in_force: in_force.name)
    book._restore()

    def slow(in_force: PlanInForce) -> str:
        assert go_on.wait(60)
        return in_force.name

    try:
        made = [asyncio.ensure_future(book.prepare(slow)) for _ in range(MOST_PREPARED)]
        assert await book.ask(lambda live: live.now) == NOW
        with pytest.raises(NotReady, match="too many questions wait here"):
            await book.prepare(slow)
        assert not any(one.done() for one in made)
    finally:
        go_on.set()
    assert await asyncio.gather(*made) == ["small@1"] * MOST_PREPARED


async def test_a_question_that_fails_hurts_nobody_else():
    book = live_book()
    book._restore()
    with pytest.raises(ZeroDivisionError):
        await book.ask(lambda live: 1 // 0)
    assert await book.ask(lambda live: live.in_force.name) == "small@1"


def test_a_topic_that_was_made_anew_ends_the_process():
    book = live_book()
    book.take(CELLS, flushed(10))
    book.take(CELLS, flushed(12))
    with pytest.raises(LogRewound):
        book.take(CELLS, flushed(0))

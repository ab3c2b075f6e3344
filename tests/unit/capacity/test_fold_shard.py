"""What the fold's shard writes: absolute cells, then a mark."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from services.capacity.agents.fold import FoldShard
from shared.schemas import cell as cells
from shared.schemas import dead_letter
from shared.schemas.deal import Line
from shared.streams.dead_letters import TooManyBroken
from shared.streams.metrics import DEAD_LETTERS as DEAD_LETTERS_COUNTED
from shared.streams.shards import Outgoing
from shared.topics import CELLS, DEAD_LETTERS, DEALS
from tests.unit.capacity.deals import deal
from tests.unit.capacity.records import Log

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def shard_of(log: Log, upto: int | None = None) -> FoldShard:
    shard = FoldShard(log.partition)
    if log.records[:upto]:
        shard.apply(log.batch(0, upto, restoring=True))
    assert shard.flush(NOW) == []
    shard.restored({DEALS: log.end if upto is None else upto})
    return shard


def read(outgoing) -> tuple[list[cells.Cell], cells.Mark]:
    assert {out.topic for out in outgoing} == {CELLS}
    *cell_records, mark = outgoing
    assert mark.key == cells.mark_record_key(cells.decode_mark(mark.value).partition)
    found = [cells.decode_cell(out.value) for out in cell_records]
    for out, cell in zip(cell_records, found, strict=True):
        assert out.key == cells.cell_record_key(cell.partition, cell.key)
    return found, cells.decode_mark(mark.value)


def test_after_a_restore_every_live_cell_comes_and_then_the_mark():
    log = Log(DEALS, partition=3)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0), time=5))
    log.write("crm/2", deal(2, Line("enterprise", quantity=2.0), time=9))
    log.write("crm/1", None)
    shard = shard_of(log)
    (cell,), mark = read(shard.flush(NOW))
    assert (cell.partition, cell.generation, cell.key.product) == (3, 3, "enterprise")
    assert mark == cells.Mark(partition=3, generation=3, upto=3, time=9)
    assert shard.flush(NOW) == []


def test_an_empty_partition_says_so_with_a_mark():
    shard = FoldShard(0)
    shard.restored({DEALS: 0})
    assert read(shard.flush(NOW)) == ([], cells.Mark(partition=0, generation=0, upto=0))


def test_a_moved_deal_sends_both_cells_and_the_emptied_one_is_tombstoned_after_the_mark():
    log = Log(DEALS)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    read(shard.flush(NOW))
    log.write("crm/1", deal(1, Line("basic", quantity=1.0), stage="won"))
    shard.apply(log.batch(1))
    changed, mark = read(shard.flush(NOW))
    assert {(cell.key.stage, cell.stage.q, len(cell.members)) for cell in changed} == {
        ("qualified", 0.0, 0),
        ("won", 1.0, 1),
    }
    assert (mark.generation, mark.upto) == (1, 2)
    log.write("crm/2", deal(2, Line("basic", quantity=4.0), stage="won"))
    shard.apply(log.batch(2))
    filled, tombstone, _ = shard.flush(NOW)
    assert cells.decode_cell(filled.value).stage.q == 5.0
    assert tombstone.value is None
    assert msgspec.json.decode(tombstone.key) == [
        0,
        ["basic", "", False, "new", "units", "qualified", "2026-W14", "2026-04"],
    ]


def test_a_cell_filled_again_is_not_tombstoned():
    log = Log(DEALS)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    shard.flush(NOW)
    for value in (None, deal(1, Line("basic", quantity=1.0))):
        log.write("crm/1", value)
        shard.apply(log.batch(log.end - 1))
        (cell,), _ = read(shard.flush(NOW))
    assert cell.stage.q == 1.0


def test_a_record_that_changes_no_cell_still_moves_the_mark():
    log = Log(DEALS)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    shard.flush(NOW)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0), name="A new name"))
    shard.apply(log.batch(1))
    assert read(shard.flush(NOW)) == ([], cells.Mark(partition=0, generation=1, upto=2, taken=1))


def test_a_broken_record_becomes_a_dead_letter_and_the_rest_counts():
    log = Log(DEALS)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    shard.flush(NOW)
    log.write("crm/2", b'{"lines": 3}')
    log.write(None, b"{}")
    log.write("crm/4", b'{"stage": "\xff"}')
    log.records.append(replace(log.records[0], offset=log.end, key=b"crm/\xff"))
    log.write("crm/3", deal(3, Line("basic", quantity=2.0)))
    shard.apply(log.batch(1))
    *letters, cell, _ = shard.flush(NOW)
    assert [reason for _, reason in letters_of(letters)] == ["broken-deal", "no-key", "broken-deal", "broken-deal"]
    assert cells.decode_cell(cell.value).stage.q == 3.0


def letters_of(outgoing: Sequence[Outgoing]) -> list[tuple[str, str]]:
    """The id and the reason of each dead letter."""
    letters = [out for out in outgoing if out.topic is DEAD_LETTERS]
    return [(dict(out.headers)["ce_id"].decode(), dead_letter.decode(out.value).reason) for out in letters]


@pytest.mark.parametrize("killed", ["before the flush", "after the flush"])
def test_a_fold_killed_around_a_flush_loses_no_letter_and_its_id_stays(killed):
    log = Log(DEALS, partition=2)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    shard.flush(NOW)
    log.write("crm/2", b'{"lines": 3}')
    shard.apply(log.batch(1))
    written = letters_of(shard.flush(NOW)) if killed == "after the flush" else []
    successor = shard_of(log)
    again = letters_of(successor.flush(NOW))
    assert again == [("deals.v1/2/1", "broken-deal")]
    assert written in ([], again)
    assert letters_of(successor.flush(NOW)) == []


def test_a_broken_deal_that_a_good_one_followed_has_its_letter_however_records_fall_into_batches():
    """The good one may come before anybody had written the letter, and after a kill nobody knows who had."""
    log = Log(DEALS)
    log.write("crm/1", b"broken")
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    log.write(None, b"broken")
    log.write(None, b"broken")
    log.write("crm/2", deal(2, Line("basic", quantity=3.0)))
    log.write("crm/2", b"broken")
    wanted = [("deals.v1/0/0", "broken-deal"), ("deals.v1/0/2", "no-key"), ("deals.v1/0/3", "no-key"),
              ("deals.v1/0/5", "broken-deal")]  # fmt: skip
    for restored in range(log.end + 1):
        for size in (1, 2, log.end):
            shard = FoldShard(0)
            for at in range(0, restored, size):
                shard.apply(log.batch(at, min(at + size, restored), restoring=True))
            shard.restored({DEALS: restored})
            outgoing = list(shard.flush(NOW))
            for at in range(restored, log.end, size):
                shard.apply(log.batch(at, at + size))
                outgoing += shard.flush(NOW)
            assert letters_of(outgoing) == wanted, (restored, size)
            units = [cells.decode_cell(out.value).stage.q for out in outgoing
                     if out.topic is CELLS and out.value and b'"key"' in out.value]  # fmt: skip
            assert units[-1] == 4.0, (restored, size)


def test_a_letter_that_a_restart_repeats_is_not_counted_again():
    log = Log(DEALS)
    log.write("crm/1", deal(1, Line("basic", quantity=1.0)))
    shard = shard_of(log)
    counted = DEAD_LETTERS_COUNTED.labels("broken-deal")._value.get()
    log.write("crm/2", b"broken")
    shard.apply(log.batch(1))
    assert len(letters_of(shard.flush(NOW))) == 1
    assert len(letters_of(shard_of(log).flush(NOW))) == 1
    assert DEAD_LETTERS_COUNTED.labels("broken-deal")._value.get() == counted + 1


def test_too_many_broken_records_end_the_process():
    log = Log(DEALS)
    for number in range(50):
        log.write(f"crm/{number}", b"broken")
    with pytest.raises(TooManyBroken):
        FoldShard(0).apply(log.batch(restoring=True))

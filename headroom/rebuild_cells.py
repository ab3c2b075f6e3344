"""Cells made anew from the deals: what every fold would write after a restart, written for it, and nothing else kept.

For each deals partition: its deals are read and folded; then the fold's own transactional id is taken over, which
refuses every further flush of a running fold; what deals and cells came meanwhile is read; and one transaction writes
a tombstone for each cell that no deal accounts for, every live cell, and the mark that makes all of it count. A reader
sees the cells before or after it, never half of them, so utilisation does not dip.

A fold that runs meanwhile ends at its next flush, is started again by its supervisor and publishes the same cells in
a generation of its own. Nothing has to be stopped first.

A restart alone voids cells of lower generations. It does not help where ``deals.v1`` was recreated and ends before the
old cells' generation, where cells of the present generation are wrong, or where ``cells.v1`` lost records while no
deal changes; this does.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from aiokafka.errors import ProducerFenced

from headroom.log import Partition
from services.capacity.domain import contribution
from services.capacity.domain.cells import Cells
from shared.errors import NotReady
from shared.schemas import cell as cells
from shared.schemas.cell import Cell, Mark
from shared.schemas.envelope import headers
from shared.settings import KafkaSettings
from shared.streams.dead_letters import UNREADABLE
from shared.streams.shards import Outgoing
from shared.streams.topology import partition_counts
from shared.streams.writer import FencedWriter
from shared.topics import CELLS, DEALS

ATTEMPTS = 5
FOLD = "fold"
"""The role whose transactional ids are taken over."""

Tell = Callable[[str], None]

_decode_key = msgspec.json.Decoder(tuple[int, cells.CellKey | str]).decode


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was written for one deals partition; ``unreadable`` deals were left out."""

    partition: int
    deals: int
    cells: int
    removed: int
    unreadable: int


@dataclass
class _Book:
    """The deals of one partition, folded as far as its log was read."""

    log: Partition
    cells: Cells = field(default_factory=Cells)
    time: int = 0
    unreadable: set[bytes] = field(default_factory=set)

    async def read_on(self) -> None:
        async for records in self.log.new():
            latest = {record.key: record.value for record in records if record.key is not None}
            for key, value in latest.items():
                self._put(key, value)

    def _put(self, key: bytes, value: bytes | None) -> None:
        self.unreadable.discard(key)
        try:
            deal_id = key.decode()
            deal = contribution.decode(value) if value is not None else None
        except UNREADABLE:
            # As the fold does: the deal counts as it was last understood.
            self.unreadable.add(key)
            return
        self.time = max(self.time, deal.time if deal else 0)
        self.cells.put(deal_id, deal)


@dataclass
class _Known:
    """The keys of the cells on ``cells.v1`` that have a value, by deals partition."""

    log: Partition
    keys: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))

    async def read_on(self) -> None:
        async for records in self.log.new():
            for record in records:
                self._note(record.key or b"", record.value is not None)

    def _note(self, key: bytes, there: bool) -> None:
        try:
            partition, what = _decode_key(key)
        except UNREADABLE:
            return  # not a cell; project counts it as broken
        if isinstance(what, cells.CellKey):
            (self.keys[partition].add if there else self.keys[partition].discard)(key)


async def rebuild_cells(kafka: KafkaSettings, tell: Tell) -> list[Rebuilt]:
    """Write every partition's cells anew; ``tell`` hears what is under way. May be repeated.

    Raises ``NotReady`` when topics are missing, or when a fold keeps taking its id back.
    """
    partitions = (await partition_counts(kafka, (DEALS, CELLS)))[DEALS]
    done = []
    async with Partition(kafka, CELLS, 0) as log:
        known = _Known(log)
        tell("Reading the cells there are")
        await known.read_on()
        for number in range(partitions):
            tell(f"Folding the deals of partition {number + 1} of {partitions}")
            async with Partition(kafka, DEALS, number) as deals:
                book = _Book(deals)
                await book.read_on()
                done.append(await _write(kafka, number, book, known))
    return done


async def _write(kafka: KafkaSettings, number: int, book: _Book, known: _Known) -> Rebuilt:
    for _ in range(ATTEMPTS):
        writer = FencedWriter(kafka, f"{FOLD}-{number}")
        try:
            await writer.start()
            # Only now can no fold write behind what is read here.
            await book.read_on()
            await known.read_on()
            records, rebuilt = _records(number, book, known.keys[number])
            await writer.write(records)
        except ProducerFenced:
            continue  # a fold was started between; it will have to be again
        else:
            return rebuilt
        finally:
            await writer.stop()
    raise NotReady(
        f"the cells of deals partition {number} could not be written",
        why=f"a fold took its place back {ATTEMPTS} times",
        do="Stop the fold processes and run this again",
    )


def _records(number: int, book: _Book, known: set[bytes]) -> tuple[list[Outgoing], Rebuilt]:
    upto, source = book.log.position, f"headroom/rebuild/{number}"
    live: dict[bytes, Outgoing] = {}
    for state in book.cells.live():
        key = cells.cell_record_key(number, state.key)
        cell = Cell(
            partition=number,
            generation=upto,
            key=state.key,
            own=state.own,
            stage=state.stage,
            listed=state.listed,
            members=state.members,
        )
        live[key] = Outgoing(CELLS, 0, key, cells.encode(cell), headers(cells.TYPE, f"{upto}/{state.slot}", source))
    removed = sorted(known - live.keys())
    mark = Mark(partition=number, generation=upto, upto=upto, time=book.time)
    envelope = headers(cells.MARK_TYPE, f"{upto}/mark", source, datetime.now(UTC))
    records = [
        *(Outgoing(CELLS, 0, key, None) for key in removed),
        *live.values(),
        Outgoing(CELLS, 0, cells.mark_record_key(number), cells.encode(mark), envelope),
    ]
    return records, Rebuilt(number, len(book.cells), len(live), len(removed), len(book.unreadable))

"""The fold's shard: deals into cells.

Everything a flush returns is one transaction that ends with its mark, so that a reader never sees half a flush.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.capacity import metrics
from services.capacity.domain import contribution
from services.capacity.domain.cells import Cells, CellState
from services.capacity.domain.contribution import DealRecord
from shared.schemas import cell as cells
from shared.schemas.envelope import headers
from shared.schemas.trace import NOWHERE, passage_of
from shared.streams.dead_letters import UNREADABLE, BrokenLimit, dead_letter
from shared.streams.shards import Batch, Outgoing, Record
from shared.topics import CELLS, DEALS, Topic


class FoldShard:
    """One partition of ``deals.v1`` as the cells it sums to."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._book = Cells()
        self._generation: int | None = None
        self._everything = False
        self._upto = 0
        self._said = 0
        self._time = 0
        self._taken = 0
        self._passage = NOWHERE
        self._zeroed: dict[int, bytes] = {}
        self._letters: list[Outgoing] = []
        self._limit = BrokenLimit()

    def apply(self, batch: Batch) -> None:
        """Fold deals in; of a deal that comes more than once in a batch only the last good record matters.

        Each record that is broken gets its letter, also one that a good one has followed: how records fall into
        batches decides nothing.
        """
        latest: dict[str, DealRecord | None] = {}
        for record in batch.records:
            if record.key is None:
                self._broken(batch, record, "no-key", "a deal record has no key")
                continue
            try:
                deal_id = record.key.decode()
                latest[deal_id] = contribution.decode(record.value) if record.value is not None else None
            except UNREADABLE as error:
                self._broken(batch, record, "broken-deal", str(error))
        for deal_id, deal in latest.items():
            if deal is not None and deal.time > self._time:
                self._time = deal.time
            self._book.put(deal_id, deal)
        self._upto = batch.next_offset
        if not batch.restoring:
            self._taken += len(batch.records)
            self._passage = self._passage.then(passage_of(batch.records))

    def restored(self, ends: Mapping[Topic, int]) -> None:
        """The next flush sends every live cell in a new generation, which voids what an earlier owner left.

        And the letter of every broken record that is still on the log: its former owner may have ended before it wrote
        it. Whoever has it already knows it by its id.
        """
        self._generation = self._upto = ends[DEALS]
        self._everything = True

    @property
    def waiting(self) -> bool:
        """What a batch brought goes out with the next flush, whole."""
        return False

    def flush(self, now: datetime) -> Sequence[Outgoing]:
        """The cells that changed, absolute, and the mark that makes them count."""
        if self._generation is None or (self._upto == self._said and not self._everything):
            return []
        states = self._book.live() if self._everything else self._book.changed()
        outgoing, self._letters = self._letters, []
        retired, self._zeroed = self._zeroed, {}
        for state in states:
            outgoing.append(self._cell(state, self._generation))
            retired.pop(state.slot, None)
        outgoing += [Outgoing(CELLS, 0, key, None) for key in retired.values()]
        mark = cells.Mark(
            partition=self._partition,
            generation=self._generation,
            upto=self._upto,
            time=self._time,
            taken=self._taken,
        )
        passage, self._passage = self._passage, NOWHERE
        envelope = headers(cells.MARK_TYPE, self._id("mark"), self._source(), now, passage.trace, passage.arrived)
        outgoing.append(Outgoing(CELLS, 0, cells.mark_record_key(self._partition), cells.encode(mark), envelope))
        self._everything, self._said = False, self._upto
        metrics.DEALS.labels(self._partition).set(len(self._book))
        metrics.CELLS_WRITTEN.inc(len(outgoing))
        return outgoing

    def _cell(self, state: CellState, generation: int) -> Outgoing:
        key = cells.cell_record_key(self._partition, state.key)
        cell = cells.Cell(
            partition=self._partition,
            generation=generation,
            key=state.key,
            own=state.own,
            stage=state.stage,
            listed=state.listed,
            members=state.members,
        )
        if not state.members:
            # Its tombstone follows once a mark has made the zeros count, unless the cell is filled again before.
            self._zeroed[state.slot] = key
        return Outgoing(CELLS, 0, key, cells.encode(cell), headers(cells.TYPE, self._id(state.slot), self._source()))

    def _id(self, what: object) -> str:
        return f"{self._generation}/{self._upto}/{what}"

    def _source(self) -> str:
        return f"headroom/fold/{self._partition}"

    def _broken(self, batch: Batch, record: Record, reason: str, detail: str) -> None:
        self._limit.broken(batch, record, detail)
        self._letters.append(dead_letter(batch, record, reason, detail, again=batch.restoring))

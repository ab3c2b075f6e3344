"""The fold: deals in, cells out, in constant time per event.

A deal's old lines are taken out and its new ones put in. Lines are gathered as packed numbers and summed column by
column when somebody looks, so that an event costs a few look-ups and no arithmetic in Python.
"""

import heapq
from collections.abc import Callable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

import msgspec
import numpy as np

from services.capacity.domain.contribution import NO_RATE, OF_STAGE, DealRecord, Kind, close_of, parts_of
from services.capacity.domain.sums import LISTED, OWN, STAGE, Floats, Slots, Sums
from shared.schemas.cell import LARGEST, CellKey, ListSums, Member, OwnSums, StageSums
from shared.schemas.deal import Deal

_GATHER: Final = 50_000
"""Deals gathered at most before they are summed: bounds the memory of a restore."""

_MANY: Final = 1000
"""Up to so many lines of one size are quicker sorted by name than searched for the first."""

_WIDTH: Final = 6
"""Numbers of a line: slot, q, p (or ``OF_STAGE``), net, list (or ``NO_LIST``, ``NO_RATE``), arr."""

_LINE: Final = Struct(f"={_WIDTH}d")
_pack = _LINE.pack


class Entry(msgspec.Struct, gc=False):
    """A deal as the book holds it; its lines' numbers lie side by side so that many are summed by copying bytes."""

    deal: str
    numbers: bytes
    close: str
    gone: bool = False
    """It was taken out; the cells' lists forget it when they are next gone through."""


class CellState(NamedTuple):
    """What a cell sums to now; ``members`` are its largest lines, largest first. An emptied cell has none."""

    slot: int
    key: CellKey
    own: OwnSums
    stage: StageSums
    listed: ListSums
    members: list[Member]


class Cells:
    """The deals of one partition, summed by cell. Each cell has a slot, given out in the order of appearance."""

    def __init__(self) -> None:
        self._deals: dict[str, Entry] = {}
        self._slots: dict[tuple[str, str, str], dict[Kind, int]] = {}
        self._keys: list[CellKey] = []
        self._sums = Sums()
        self._entries: list[list[Entry]] = []
        self._largest: list[list[Member] | None] = []
        self._floors = np.zeros(64)
        self._out: list[bytes] = []
        self._in: list[bytes] = []
        self._gone = 0
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._deals)

    def put(self, deal: str, record: DealRecord | Deal | None) -> None:
        """``deal`` now says this, read of its record or as it is; None takes it out altogether."""
        old = self._deals.get(deal)
        parts = parts_of(record) if record is not None else ()
        if record is not None and parts:
            week, month, day = close_of(record.close)
            bucket = (record.stage or "", week, month)
            slots = self._slots.get(bucket)
            if slots is None:
                slots = self._slots[bucket] = {}
            if len(parts) == 1:
                ((kind, *line),) = parts
                slot = slots.get(kind)
                if slot is None:
                    slot = slots[kind] = self._open(kind, bucket)
                places = [slot]
                packed = _pack(slot, *line)
            else:
                numbers: list[float] = []
                places = []
                for kind, q, p, net, listed, arr in parts:
                    slot = slots.get(kind)
                    if slot is None:
                        slot = slots[kind] = self._open(kind, bucket)
                    places.append(slot)
                    numbers += (slot, q, p, net, listed, arr)
                packed = _packer(len(numbers))(*numbers)
            if old is not None and old.numbers == packed and old.close == day:
                return
            self._deals[deal] = entry = Entry(deal, packed, day)
            self._in.append(packed)
            for slot in places if len(places) == 1 else set(places):
                self._entries[slot].append(entry)
        elif old is not None:
            del self._deals[deal]
        if old is not None:
            old.gone = True
            self._gone += 1
            self._out.append(old.numbers)
        if len(self._in) + len(self._out) > _GATHER:
            self._sum_up()

    def changed(self) -> Iterator[CellState]:
        """The cells that changed since this was last asked, in the order in which they first appeared."""
        self._sum_up()
        slots, self._dirty = sorted(self._dirty), set()
        return self._states(np.array(slots, np.intp))

    def live(self) -> Iterator[CellState]:
        """All cells that have a line."""
        self._sum_up()
        self._dirty = set()
        slots = np.arange(len(self._keys))
        return self._states(slots[self._sums.counts(slots) > 0])

    def _open(self, kind: Kind, bucket: tuple[str, str, str]) -> int:
        slot = len(self._keys)
        self._keys.append(CellKey(*kind, *bucket))  # type: ignore[arg-type]
        self._entries.append([])
        self._largest.append(None)
        if slot >= len(self._floors):
            self._floors = np.pad(self._floors, (0, slot))
        self._floors[slot] = -np.inf
        return slot

    def _sum_up(self) -> None:
        if not self._out and not self._in:
            return
        out, into = _lines(self._out), _lines(self._in)
        self._out.clear()
        self._in.clear()
        lines = np.concatenate((out, into))
        signs = np.ones(len(lines))
        signs[: len(out)] = -1.0
        slots = lines[:, 0].astype(np.intp)
        # Only a line that reaches a cell's smallest named member changes which members are named.
        for slot in np.flatnonzero(np.bincount(slots[lines[:, 1] >= self._floors[slots]])).tolist():
            self._largest[slot] = None
        self._dirty.update(self._sums.change(slots, lines[:, 1:], signs).tolist())
        if self._gone > len(self._deals) // 2 + _GATHER // 4:
            self._gone = 0
            for slot in range(len(self._entries)):
                self._present(slot)

    def _present(self, slot: int) -> list[Entry]:
        entries = self._entries[slot] = [entry for entry in self._entries[slot] if not entry.gone]
        return entries

    def _states(self, slots: Slots) -> Iterator[CellState]:
        self._sums.clear(slots[self._sums.counts(slots) == 0])
        self._renew(self._sums.worn(slots))
        for slot, row in zip(slots.tolist(), self._sums.rows(slots), strict=True):
            yield CellState(
                slot,
                self._keys[slot],
                OwnSums(int(row[0]), *row[OWN][1:]),
                StageSums(int(row[14]), *row[STAGE][1:]),
                ListSums(int(row[19]), row[20], row[21], row[22], int(row[23]), *row[24 : LISTED.stop]),
                self._members(slot),
            )

    def _renew(self, slots: Slots) -> None:
        if len(slots):
            lines = [_lines([e.numbers for e in self._present(slot)]) for slot in slots.tolist()]
            own = [rows[rows[:, 0] == slot, 1:] for slot, rows in zip(slots.tolist(), lines, strict=True)]
            first = np.cumsum([0, *map(len, own[:-1])])
            self._sums.renew(slots, np.concatenate(own), first)

    def _members(self, slot: int) -> list[Member]:
        members = self._largest[slot]
        if members is None:
            members = self._largest[slot] = _largest_of(slot, self._present(slot))
            self._floors[slot] = members[-1].q if len(members) == LARGEST else -np.inf
        return members


def _largest_of(slot: int, entries: list[Entry]) -> list[Member]:
    """The largest lines of a slot, largest first, then by deal and line."""
    lines = _lines([entry.numbers for entry in entries])
    numbers = [0] * len(lines)
    if len(lines) > len(entries):
        counts = [len(entry.numbers) // _LINE.size for entry in entries]
        there = np.flatnonzero(lines[:, 0] == slot)
        owners = np.repeat(np.arange(len(entries)), counts)[there].tolist()
        numbers = [number for count in counts for number in range(count)]
        lines, entries, numbers = lines[there], [entries[n] for n in owners], [numbers[n] for n in there.tolist()]
    sizes = lines[:, 1]
    if len(lines) > LARGEST:
        # Whoever is smaller than so many others is not looked at.
        there = np.flatnonzero(sizes >= np.partition(sizes, -LARGEST)[-LARGEST])
        lines, sizes = lines[there], sizes[there]
        entries, numbers = [entries[n] for n in there.tolist()], [numbers[n] for n in there.tolist()]
    names = [entry.deal for entry in entries]
    if len(names) > _MANY and sizes.min() == sizes.max():
        order = np.array(heapq.nsmallest(LARGEST, range(len(names)), key=names.__getitem__), np.intp)
    else:
        order = np.array(sorted(range(len(names)), key=names.__getitem__), np.intp)
        order = order[np.argsort(-sizes[order], kind="stable")][:LARGEST]
    _, q, p, net, listed, _ = lines[order].T.tolist()
    chosen = order.tolist()
    return list(
        map(
            Member,
            [names[n] for n in chosen],
            [numbers[n] for n in chosen],
            q,
            [None if chance == OF_STAGE else chance for chance in p],
            net,
            [entries[n].close for n in chosen],
            [price == NO_RATE for price in listed],
        )
    )


@lru_cache(maxsize=1024)
def _packer(count: int) -> Callable[..., bytes]:
    return Struct(f"={count}d").pack


def _lines(packed: list[bytes]) -> Floats:
    return np.frombuffer(b"".join(packed), np.float64).reshape(-1, _WIDTH)

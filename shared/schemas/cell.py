"""``cells.v1``: absolute sums of deal lines by cell in one deals partition, and the marks that end each flush."""

from typing import Literal

import msgspec

TYPE = "headroom.cell.v1"
MARK_TYPE = "headroom.mark.v1"

LARGEST = 32
"""How many of its largest members a cell names exactly."""


class CellKey(msgspec.Struct, frozen=True, array_like=True):
    """What the lines in one cell have in common.

    ``basis`` says whether quantities are units or an amount in the plan's currency; ``week`` is the ISO week of the
    close date (``2026-W14``) and ``month`` its month (``2026-04``), both empty when the deal has no close date.
    """

    product: str
    segment: str
    custom: bool
    type: str
    basis: Literal["units", "amount"]
    stage: str
    week: str
    month: str


class OwnSums(msgspec.Struct, array_like=True):
    """Sums over lines that bring their own probability p; q is the quantity, net and list are money.

    Σp, Σp² and Σp³ stand in for the sums with q where the plan sets one quantity for every deal.
    """

    count: int = 0
    p: float = 0.0
    p2: float = 0.0
    p3: float = 0.0
    pq: float = 0.0
    pq2: float = 0.0
    pq3: float = 0.0
    p2q2: float = 0.0
    p2q3: float = 0.0
    p3q3: float = 0.0
    q: float = 0.0
    p_net: float = 0.0
    p_list: float = 0.0
    net: float = 0.0


class StageSums(msgspec.Struct, array_like=True):
    """Sums over lines that take the probability of their stage, which enters at projection."""

    count: int = 0
    q: float = 0.0
    q2: float = 0.0
    q3: float = 0.0
    net: float = 0.0


class ListSums(msgspec.Struct, array_like=True):
    """Over the lines that bring a list price: number, list value, net value; and over all lines the yearly revenue.

    ``no_rate`` is the number of lines whose money is left out, as no rate of their currency is known; it came later and
    is absent in older records.

    ``own_…`` are the parts of these sums that lines with their own probability p make up, ``p_…`` the same weighted by
    p (Σp·list is ``OwnSums.p_list``): so what is expected can be told of any mixture of lines.
    """

    count: int = 0
    list: float = 0.0
    net: float = 0.0
    arr: float = 0.0
    no_rate: int = 0
    own_list: float = 0.0
    own_net: float = 0.0
    own_arr: float = 0.0
    p_net: float = 0.0
    p_arr: float = 0.0


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One of a cell's largest lines; ``p`` is None when it takes its stage's probability, ``close`` its day (ISO).

    ``no_rate``: its money is left out, as no rate of its currency is known; absent in older records.
    """

    deal: str
    line: int
    q: float
    p: float | None
    net: float
    close: str
    no_rate: bool = False


class Cell(msgspec.Struct, kw_only=True):
    """The sums of one cell in deals partition ``partition``; all zero when the cell has emptied.

    ``generation`` is the deals offset at which the owner's restore ended: a mark of a higher generation voids it.
    ``members`` are the largest by quantity, at most ``LARGEST``, largest first.
    """

    partition: int
    generation: int
    key: CellKey
    own: OwnSums
    stage: StageSums
    listed: ListSums
    members: list[Member]


class Mark(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The end of a flush: cells of ``partition`` now hold every deal record below offset ``upto``.

    ``time`` is the newest source time (ms) among the deals in it, for end-to-end latency. ``taken`` counts the deal
    records that this owner has taken in since it restored: offsets count the marks of transactions too.
    """

    partition: int
    generation: int
    upto: int
    time: int = 0
    taken: int = 0


def cell_record_key(partition: int, key: CellKey) -> bytes:
    """The Kafka key of a cell."""
    return msgspec.json.encode([partition, key])


def mark_record_key(partition: int) -> bytes:
    """The Kafka key of a partition's mark."""
    return msgspec.json.encode([partition, "mark"])


encode = msgspec.json.Encoder().encode
decode_cell = msgspec.json.Decoder(Cell).decode
decode_mark = msgspec.json.Decoder(Mark).decode

"""A made-up pipeline for benchmarks: deals with two lines each that keep changing, as they lie on ``deals.v1``."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from zlib import crc32

from shared.schemas.deal import Deal, Line, Stamp, encode

STAGES = ("qualified", "proposal", "commit", "won", "lost")
FIELDS = ("name", "stage", "close", "amount", "lines", "segment", "owner", "custom")
START = 1_767_225_600_000
FIRST = date(2026, 1, 5)


def changes(deals: int, events: int, seed: int = 1, products: int = 4, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of ``events`` records: every one of ``deals`` once, then any of them anew.

    ``products`` multiplies the cells, of which there are up to 450 for each; ``first`` deals are there already.
    """
    dice = random.Random(seed)
    for number in range(events):
        which = first + number if first + number < deals else dice.randrange(deals)
        made = _deal(which, first + number, products, dice)
        yield made.id.encode(), encode(made)


def partition_of(key: bytes, partitions: int) -> int:
    """Any fixed spreading of keys will do here."""
    return crc32(key) % partitions


def _deal(which: int, version: int, products: int, dice: random.Random) -> Deal:
    time = START + version
    lines = [
        Line(
            product=f"product-{dice.randrange(products)}",
            quantity=float(dice.randrange(1, 30)),
            amount=float(dice.randrange(1000, 90_000)),
            list_amount=100_000.0,
            arr=5000.0,
        )
        for _ in range(2)
    ]
    return Deal(
        id=f"hubspot/{which:09d}",
        source="hubspot",
        object=f"{which:09d}",
        version=version,
        time=time,
        name=f"Deal number {which}",
        stage=dice.choice(STAGES),
        close=FIRST + timedelta(days=dice.randrange(250)),
        amount=50_000.0,
        segment="enterprise",
        custom=dice.random() < 0.2,
        owner="somebody@example.com",
        lines=lines,
        fields={name: Stamp(time, 1, 1) for name in FIELDS},
    )

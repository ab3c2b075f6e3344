"""The read models made anew from the log: emptied, and their places set back, in one transaction; views does the rest.

Deals are read again from the beginning of ``deals.v1``, frames from the last complete one, which stands for all before
it. A views process that runs meanwhile finds the tables behind what it wrote, ends, is started again and begins where
they are; one that is about to write waits for the transaction and then finds the same. While the tables fill, the API
answers 503 until the first frame is in them, and knows the deals that have come so far.

Nothing else is touched: recalibrations, answers, subscriptions, deliveries and keys are no read models.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from headroom.log import Partition, ends
from shared.db import create_engine
from shared.settings import Settings
from shared.streams.topology import partition_counts
from shared.topics import DEALS, FRAMES

_TABLES = ("positions", "work_states", "listed_deals", "forecasts", "projection", "deals")

# Views locks a row of views_offsets before it touches anything else, so it waits here or we wait for it. Rows are
# deleted, not truncated: a reader keeps its snapshot, and nobody waits for a reader.
_HOLD_VIEWS = sa.text("LOCK TABLE views_offsets IN EXCLUSIVE MODE")
_PLACE = sa.text("""
    INSERT INTO views_offsets (topic, partition, next_offset) VALUES (:topic, :partition, :next_offset)
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset""")
_PLACES = sa.text("SELECT topic, partition, next_offset FROM views_offsets")


class _Completeness(msgspec.Struct):
    complete: bool


_decode = msgspec.json.Decoder(_Completeness).decode

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Emptied:
    """``frame`` is the offset of the frame that comes first, ``complete`` whether it says everything; ``rows`` went.

    ``goals`` are the ends of the log when the tables were emptied, by topic and partition.
    """

    frame: int
    complete: bool
    rows: int
    goals: dict[tuple[str, int], int]


async def empty_models(settings: Settings, tell: Tell) -> Emptied:
    """Empty the read models and set their places back; views builds them anew as soon as it runs. May be repeated."""
    tell("Looking for the last complete frame")
    partitions = (await partition_counts(settings.kafka, (FRAMES, DEALS)))[DEALS]
    async with Partition(settings.kafka, FRAMES, 0) as log:
        frame, begin = await _last_complete(log), await log.begin()
    goals = {
        (topic.name, number): end
        for topic, count in ((FRAMES, 1), (DEALS, partitions))
        for number, end in enumerate(await ends(settings.kafka, topic, count))
    }
    places = {(DEALS.name, number): 0 for number in range(partitions)}
    places[FRAMES.name, 0] = begin if frame is None else frame
    tell("Emptying the tables")
    rows = await _empty(settings, places)
    return Emptied(places[FRAMES.name, 0], frame is not None, rows, goals)


async def _last_complete(log: Partition) -> int | None:
    """The offset of the last complete frame that is kept, or None."""
    async for records in log.back():
        complete = [record.offset for record in records if record.value and _decode(record.value).complete]
        if complete:
            return complete[-1]
    return None


async def _empty(settings: Settings, places: dict[tuple[str, int], int]) -> int:
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.execute(_HOLD_VIEWS)
            rows = 0
            for table in _TABLES:
                rows += (await connection.execute(sa.delete(sa.table(table)))).rowcount
            for (topic, partition), offset in places.items():
                place = {"topic": topic, "partition": partition, "next_offset": offset}
                await connection.execute(_PLACE, place)
            return rows
    finally:
        await engine.dispose()


async def part_done(connection: AsyncConnection, emptied: Emptied) -> float:
    """How much of the way from the emptied tables to ``goals`` views has gone, from 0 to 1."""
    stored = {(row.topic, row.partition): row.next_offset for row in await connection.execute(_PLACES)}
    starts = {place: emptied.frame if place[0] == FRAMES.name else 0 for place in emptied.goals}
    whole = sum(end - starts[place] for place, end in emptied.goals.items())
    done = sum(min(stored.get(place, 0), end) - starts[place] for place, end in emptied.goals.items())
    return 1.0 if whole <= 0 else max(0.0, done / whole)

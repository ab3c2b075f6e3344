"""Dead letters as an operator looks at them: what was dead-lettered and still is, read from the topic's beginning.

A letter is called by where its record lay, ``inbox.v1/3/120``. When a record that was put back fails again, its new
letter names the former one, which it stands for from then on: however often something is put back, it is one letter.
A restart may write a letter again; it is as old as when it was written first. A topic that was made anew may give a
name again to another record: the two are told apart by their content.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from headroom.log import Partition
from shared.schemas import dead_letter
from shared.schemas.dead_letter import REDRIVE_OF_HEADER, DeadLetter, letter_id
from shared.settings import KafkaSettings
from shared.streams.topology import partition_counts
from shared.topics import DEAD_LETTERS


@dataclass(frozen=True, slots=True)
class Entry:
    """One letter without its content, of which it has the ``sha256``; ``place`` is its offset on ``dead-letters.v1``.

    ``at`` is when it was written first.
    """

    id: str
    topic: str
    reason: str
    detail: str
    attempts: int
    at: datetime
    place: int
    former: str | None
    sha256: bytes = b""


async def all_letters(kafka: KafkaSettings) -> AsyncIterator[tuple[Entry, DeadLetter]]:
    """Every letter that is kept, oldest first, repetitions included."""
    await partition_counts(kafka, (DEAD_LETTERS,))
    async with Partition(kafka, DEAD_LETTERS, 0) as log:
        async for records in log.new():
            for record in records:
                if record.value is not None:
                    letter = dead_letter.decode(record.value)
                    yield _entry(letter, record.offset, record.timestamp), letter


async def standing(kafka: KafkaSettings) -> list[Entry]:
    """The letters that stand, oldest first: each once, and none that was put back and has failed again since."""
    return without_former([entry async for entry, _ in all_letters(kafka)])


def without_former(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that stand, oldest first: each once, at the place where it was written last.

    ``entries`` are in the order of the topic.
    """
    known: dict[tuple[str, bytes], Entry] = {}
    former: set[tuple[str, bytes]] = set()
    for entry in entries:
        name = entry.id, entry.sha256
        known[name] = replace(entry, at=known[name].at) if name in known else entry
        if entry.former is not None:
            # It was put back as it came, so the former letter has the same content.
            former.add((entry.former, entry.sha256))
    stand = [entry for name, entry in known.items() if name not in former]
    return sorted(stand, key=lambda entry: (entry.at, entry.place))


async def contents(kafka: KafkaSettings, entries: Iterable[Entry]) -> AsyncIterator[tuple[Entry, DeadLetter]]:
    """The letters of ``entries`` whole, in the order of the topic."""
    places = {entry.place: entry for entry in entries}
    async for found, letter in all_letters(kafka):
        if found.place in places:
            yield places[found.place], letter


def _entry(letter: DeadLetter, place: int, timestamp: int) -> Entry:
    former = next(
        (value.decode("utf-8", "replace") for name, value in letter.headers if name == REDRIVE_OF_HEADER), None
    )
    return Entry(
        id=letter_id(letter.topic, letter.partition, letter.offset),
        topic=letter.topic,
        reason=letter.reason,
        detail=letter.detail,
        attempts=letter.attempts,
        at=datetime.fromtimestamp(timestamp / 1000, UTC),
        place=place,
        former=former,
        sha256=sha256(letter.value).digest(),
    )

"""Putting dead letters back: the original bytes, key and headers to the partition they came from, marked as put back.

Doing it twice does no harm: changes merge by their stamps, signals and decisions are known by their ids. That is so for
topics on which every record counts. A compacted topic keeps the last record of a key and its owner writes it; an old
record put back there would bury a newer one, so those are refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headroom.letters import Entry, contents
from shared.kafka import create_producer
from shared.schemas.dead_letter import ATTEMPTS_HEADER, REDRIVE_OF_HEADER, DeadLetter
from shared.settings import KafkaSettings
from shared.topics import DECISIONS, INBOX, SIGNALS

OPEN = {topic.name: topic for topic in (INBOX, SIGNALS, DECISIONS)}
"""Where records may be put back."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be put back, and what is not, with the reason."""

    back: Sequence[Entry]
    left: Sequence[tuple[Entry, str]]


def choose(entries: Iterable[Entry], *, limit: int, most_attempts: int) -> Choice:
    """Which of ``entries`` are put back: at most ``limit``, the oldest, and none tried ``most_attempts`` times."""
    back: list[Entry] = []
    left: list[tuple[Entry, str]] = []
    for entry in entries:
        if entry.topic not in OPEN:
            left.append((entry, f"{entry.topic} is written by its owner alone; send the object again at its source"))
        elif entry.attempts >= most_attempts:
            left.append((entry, f"it was tried {entry.attempts} times; --max-attempts allows more"))
        elif len(back) >= limit:
            left.append((entry, f"only {limit} are put back at once; run it again, or give --limit"))
        else:
            back.append(entry)
    return Choice(back, left)


async def put_back(kafka: KafkaSettings, entries: Sequence[Entry]) -> int:
    """Write the letters' records to where they came from; how many. Each is acknowledged by all replicas."""
    producer = create_producer(kafka)
    await producer.start()
    try:
        sent = []
        async for entry, letter in contents(kafka, entries):
            name = kafka.topic_prefix + OPEN[letter.topic].name
            headers = marked(entry, letter)
            sent.append(
                await producer.send(name, letter.value, letter.key, partition=letter.partition, headers=headers)
            )
        for one in sent:
            await one
        return len(sent)
    finally:
        await producer.stop()


def marked(entry: Entry, letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The original headers, and that the record was put back: of which letter, after how many attempts."""
    own = (REDRIVE_OF_HEADER, ATTEMPTS_HEADER)
    return [
        *((name, value) for name, value in letter.headers if name not in own),
        (REDRIVE_OF_HEADER, entry.id.encode()),
        (ATTEMPTS_HEADER, str(letter.attempts).encode()),
    ]

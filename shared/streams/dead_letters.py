"""Records that could not be used: how one is kept for people, and when there are too many to go on.

Bad data from outside becomes a dead letter and the stream goes on. A broken record on an *internal* topic means that
one of our own processes is wrong, so dead-lettering those has a limit beyond which the process ends and nothing is
committed.
"""

from collections import defaultdict, deque
from typing import Final

import msgspec

from shared.errors import HeadroomError
from shared.schemas import dead_letter as schema
from shared.schemas.envelope import headers
from shared.streams import metrics
from shared.streams.shards import Batch, Outgoing, Record
from shared.topics import DEAD_LETTERS, Topic

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError)
"""What reading a record raises when it is not what its topic carries; bytes that are no UTF-8 are a ``ValueError``."""


class TooManyBroken(HeadroomError):
    """So many internal records cannot be used that the fault is ours."""


def dead_letter(batch: Batch, record: Record, reason: str, detail: str = "", *, again: bool = False) -> Outgoing:
    """``record`` as it came, with its origin and the reason, to be returned from ``flush`` with the other records.

    ``reason`` is one of few words, for it labels a metric (``malformed-json``); ``detail`` is for the person who looks.
    The same record dead-lettered again after a restart has the same event id. One that was put back counts on.
    ``again``: a restore met the record, and a former owner may have written its letter; it is not counted anew.
    """
    if not again:
        metrics.DEAD_LETTERS.labels(reason).inc()
    origin = f"{batch.topic.name}/{batch.partition}"
    letter = schema.DeadLetter(
        topic=batch.topic.name,
        partition=batch.partition,
        offset=record.offset,
        reason=reason,
        detail=detail,
        value=record.value or b"",
        key=record.key,
        headers=list(record.headers),
        attempts=schema.attempts_before(record.headers) + 1,
    )
    envelope = headers(schema.TYPE, schema.letter_id(batch.topic.name, batch.partition, record.offset), origin)
    return Outgoing(DEAD_LETTERS, 0, record.key, schema.encode(letter), envelope)


class BrokenLimit:
    """Raises when more than ``ratio`` of the last ``window`` records of a partition are broken internal records.

    They are counted by offset: compaction moves broken records close together, and what was accepted when it came in
    must not end the process that reads it again. ``allowed`` are accepted whatever the ratio, so that one at the very
    beginning stops nothing.
    """

    def __init__(self, ratio: float = 0.001, allowed: int = 10, window: int = 100_000) -> None:
        self._ratio, self._allowed, self._window = ratio, allowed, window
        self._broken: defaultdict[tuple[Topic, int], deque[int]] = defaultdict(deque)

    def broken(self, batch: Batch, record: Record, reason: str) -> None:
        """``record`` cannot be used; raises ``TooManyBroken`` when that is one too many. In the order of the log."""
        places = self._broken[batch.topic, batch.partition]
        places.append(record.offset)
        while places[0] <= record.offset - self._window:
            places.popleft()
        count, among = len(places), min(record.offset + 1, self._window)
        if count > self._allowed and count > self._ratio * among:
            raise TooManyBroken(
                f"{count} of the last {among} records could not be used",
                where=f"{batch.topic.name}[{batch.partition}] at offset {record.offset}",
                why=reason,
                do="Correct what writes this topic. Nothing was committed, so every start meets these records again"
                " until they are taken out: docs/runbooks/HeadroomRestarting.md says how for each topic",
            )

"""Events to the door: batches on several lanes at once, each deal on one lane so that its events stay in order.

How far each lane has come is noted in a small file after every batch the door has acknowledged, so that the same load,
started again, goes on from there. A batch that was acknowledged but not noted is sent twice, which changes nothing.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from zlib import crc32

from headroom.door import Door, Refused
from headroom.load_events import Event
from headroom.load_rows import Rejected
from shared.errors import HeadroomError

LANES = 4
BATCH = 100
MOST_REFUSED = 1000
"""Events the door may refuse one by one before the load stops: beyond it, the mapping rather than a row is wrong."""

_FORMAT = 1
_ABOUT_THE_EVENT = frozenset({400, 413, 422})


@dataclass(slots=True)
class Progress:
    """How many events of each lane are acknowledged, and which the door refused; kept in ``file`` until all are."""

    file: Path
    done: list[int] = field(default_factory=lambda: [0] * LANES)
    refused: list[Rejected] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Events dealt with so far."""
        return sum(self.done)

    def load(self) -> None:
        """Go on from what the file notes; a file that is not there, or not whole, notes nothing."""
        try:
            noted = json.loads(self.file.read_text(encoding="utf-8"))
            done, refused = [int(n) for n in noted["done"]], [Rejected(**one) for one in noted["refused"]]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if len(done) == LANES and min(done) >= 0:
            self.done, self.refused = done, refused

    def save(self) -> None:
        """Note it, whole or not at all."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        noted = {"done": self.done, "refused": [asdict(one) for one in self.refused]}
        partial.write_text(json.dumps(noted), encoding="utf-8")
        partial.replace(self.file)

    def forget(self) -> None:
        """All is sent, or all is to be sent anew."""
        self.file.unlink(missing_ok=True)


def progress_file(directory: Path, content: str, mapping: str, url: str, as_of: date | None) -> Path:
    """The file for this CSV's ``content`` (its SHA-256), this mapping, this door and this day.

    Change one, and it is another load.
    """
    about = json.dumps([_FORMAT, LANES, content, mapping, url.rstrip("/"), str(as_of)])
    return directory / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"


async def send(
    events: Sequence[Event], door: Door, progress: Progress, moved: Callable[[int], None] = lambda n: None
) -> None:
    """Send what ``progress`` does not have yet; ``moved`` hears how many more are acknowledged.

    Raises Refused when the door refuses more than single events, NotReady when it stays busy; what is acknowledged by
    then stays noted.
    """
    lanes: list[list[Event]] = [[] for _ in range(LANES)]
    for event in events:
        lanes[crc32(event.deal.encode()) % LANES].append(event)
    sender = _Sender(door, progress, moved)
    try:
        async with asyncio.TaskGroup() as group:
            for number, lane in enumerate(lanes):
                group.create_task(sender.lane(number, lane))
    except BaseExceptionGroup as errors:
        ours, others = errors.split(HeadroomError)
        if others is not None or ours is None:
            raise
        raise _first(ours) from None


class _Sender:
    def __init__(self, door: Door, progress: Progress, moved: Callable[[int], None]) -> None:
        self._door, self._progress, self._moved = door, progress, moved

    async def lane(self, number: int, events: list[Event]) -> None:
        done = self._progress.done
        while done[number] < len(events):
            batch = events[done[number] : done[number] + BATCH]
            await self.batch(batch)
            done[number] += len(batch)
            self._progress.save()
            self._moved(len(batch))

    async def batch(self, events: list[Event]) -> None:
        """Send them; what the door finds wrong in one event is found by halving, so that the others get through."""
        try:
            await self._door.post_events([event.body for event in events])
        except Refused as refusal:
            if refusal.status not in _ABOUT_THE_EVENT:
                raise
            if len(events) > 1:
                half = len(events) // 2
                await self.batch(events[:half])
                await self.batch(events[half:])
                return
            self.refuse(events[0], refusal)

    def refuse(self, event: Event, refusal: Refused) -> None:
        if len(self._progress.refused) >= MOST_REFUSED:
            raise refusal
        reason = f"the door refused {event.body['id']}: {refusal.what} {refusal.why}".rstrip()
        self._progress.refused.append(Rejected(event.line, event.deal, reason))


def _first(group: BaseExceptionGroup[HeadroomError]) -> HeadroomError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, HeadroomError)
    return found

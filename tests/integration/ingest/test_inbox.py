"""What is gathered for Kafka is written in its order, all of it, whoever waits for it and whatever ends meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headroom import topics
from services.ingest.store import inbox as inbox_module
from services.ingest.store.inbox import GATHER_MOST, Inbox, InboxRecord
from shared.errors import NotReady
from shared.settings import KafkaSettings
from shared.topics import INBOX, LARGEST_REQUEST
from tests.integration.ingest.doors import PARTITIONS, read_topic
from tests.waiting import eventually


@pytest.fixture
async def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = KafkaSettings(bootstrap=kafka, topic_prefix=topic_prefix, partitions=PARTITIONS)
    await topics.apply(made, [INBOX])
    return made


@pytest.fixture
async def inbox(settings: KafkaSettings) -> AsyncIterator[Inbox]:
    made = Inbox(settings, append_timeout=10.0, waiting_limit=2**20)
    await made.start()
    await eventually(lambda: made.trouble() is None, what="the inbox")
    yield made
    await made.stop()


def record(key: str, number: int) -> InboxRecord:
    return InboxRecord(key.encode(), str(number).encode(), [])


async def test_requests_side_by_side_are_written_in_their_order(inbox: Inbox, settings: KafkaSettings) -> None:
    count = 3 * GATHER_MOST
    await asyncio.gather(*(inbox.append([record("abc"[n % 3], n), record("abc"[n % 3], n + 1)]) for n in range(count)))
    found = await read_topic(settings, INBOX)
    for start, key in enumerate((b"a", b"b", b"c")):
        wanted = [n + more for n in range(start, count, 3) for more in (0, 1)]
        assert [int(one.value) for one in found if one.key == key] == wanted


async def test_what_was_handed_over_is_written_before_the_end(inbox: Inbox, settings: KafkaSettings) -> None:
    await asyncio.gather(inbox.append([record("last", 1)]), inbox.stop())
    assert [one.key for one in await read_topic(settings, INBOX)] == [b"last"]


async def test_a_sender_that_leaves_takes_nothing_back(inbox: Inbox, settings: KafkaSettings) -> None:
    leaving = asyncio.create_task(inbox.append([record("left", 1)]))
    stays = asyncio.create_task(inbox.append([record("stays", 2)]))
    asyncio.get_running_loop().call_soon(leaving.cancel)
    await stays
    assert leaving.cancelled()

    async def written() -> bool:
        return sorted(one.key for one in await read_topic(settings, INBOX)) == [b"left", b"stays"]

    await eventually(written)


async def test_records_that_fail_when_nobody_waits_for_them_any_more_leave_the_door_ready(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A door that is not ready gets no requests, so none can show that the next producer works."""
    monkeypatch.setattr(inbox_module, "GATHER_SECONDS", 0.6)
    inbox = Inbox(settings, append_timeout=0.3, waiting_limit=4 * LARGEST_REQUEST)
    await inbox.start()
    await eventually(lambda: inbox.trouble() is None, what="the inbox")
    try:
        with pytest.raises(NotReady):
            await inbox.append([InboxRecord(b"refused", bytes(LARGEST_REQUEST + 1), [])])
        assert inbox.trouble() == "Kafka does not acknowledge"
        await eventually(lambda: inbox.trouble() is None, within=10, what="the inbox with a new producer")
    finally:
        await inbox.stop()

"""Dead letters on a real broker: seen, put back once the reason is gone, and one letter however often that is done."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.ingest.normalise.record import CONNECTION_HEADER, HUBSPOT
from shared.kafka import create_producer
from shared.schemas import dead_letter, deal
from shared.schemas.inbox import SOURCE_HEADER
from shared.topics import DEAD_LETTERS, DEALS, INBOX
from tests.integration.capacity.system import Topics
from tests.integration.operator.processes import environment, headroom, running
from tests.waiting import eventually

KNOWN = json.dumps({"acme": {"secrets": ["s"], "uri": "https://hooks.example.com/hubspot/acme"}})
ELEMENT = {
    "portalId": 1, "objectId": 2, "occurredAt": 1_774_000_000_000, "subscriptionType": "deal.propertyChange",
    "propertyName": "amount", "propertyValue": "1200",
}  # fmt: skip
KEY = b"hubspot-1/2"
POISON = b"\xff{\x1b[2J"


async def send(log: Topics, *values: bytes) -> None:
    """Put records into the inbox as the door does."""
    producer = create_producer(log.kafka)
    await producer.start()
    headers = [(SOURCE_HEADER, HUBSPOT.encode()), (CONNECTION_HEADER, b"acme"), ("http_user-agent", b"sender")]
    for value in values:
        await producer.send_and_wait(log.kafka.topic_prefix + INBOX.name, value, KEY, partition=1, headers=headers)
    await producer.stop()


async def letters(log: Topics, count: int) -> Sequence[dead_letter.DeadLetter]:
    """All letters, once there are ``count``."""

    async def there() -> list[dead_letter.DeadLetter]:
        found = [dead_letter.decode(record.value) for record in await log.read(DEAD_LETTERS)]
        assert len(found) == count
        return found

    return await eventually(there, within=60)


async def listed(variables: dict[str, str], *words: str) -> Any:
    return json.loads((await headroom("dead-letters", *words, "--json", variables=variables)).stdout)


async def test_what_was_put_back_after_the_fix_arrives(log: Topics, tmp_path: Path) -> None:
    variables = environment(log.kafka)
    await send(log, json.dumps(ELEMENT).encode(), POISON)
    async with running("normalise", logs=tmp_path, **variables):
        first = await letters(log, 2)
    assert [letter.reason for letter in first] == ["unknown-connection", "unknown-connection"]
    shown = await listed(variables, "list", "--each")
    assert shown["reasons"][0]["letters"] == 2
    assert [letter["id"] for letter in shown["letters"]] == ["inbox.v1/1/1", "inbox.v1/1/0"]
    whole = await listed(variables, "show", "inbox.v1/1/0")
    assert (json.loads(whole["text"]), whole["key"]) == (ELEMENT, KEY.decode())
    assert whole["headers"]["http_user-agent"] == "sender"
    assert "base64" in await listed(variables, "show", "inbox.v1/1/1"), "what is not text is not shown as text"

    trial = await listed(variables, "redrive", "--reason", "unknown-connection", "--dry-run")
    assert trial["put_back"] == ["inbox.v1/1/0", "inbox.v1/1/1"]
    assert len(await log.read(INBOX, 1)) == 2, "a trial writes nothing"

    async with running("normalise", logs=tmp_path, **variables, HEADROOM_INGEST__HUBSPOT=KNOWN):
        await listed(variables, "redrive", "--all")
        again = await letters(log, 3)
        assert (again[-1].reason, again[-1].attempts, again[-1].value) == ("malformed", 2, POISON)

        async def arrived() -> deal.Deal:
            return deal.decode((await log.last(DEALS, 1))[KEY])

        assert (await arrived()).amount == 1200.0
        back = (await log.read(INBOX, 1))[2]
        assert (back.key, back.value) == (KEY, json.dumps(ELEMENT).encode())
        assert dict(back.headers)[dead_letter.REDRIVE_OF_HEADER] == b"inbox.v1/1/0"

        standing = (await listed(variables, "list", "--each"))["letters"]
        assert [(one["id"], one["attempts"]) for one in standing] == [("inbox.v1/1/3", 2), ("inbox.v1/1/0", 1)]
        assert standing[0]["former"] == "inbox.v1/1/1"

        # Once more: the deal stays as it is, and what fails stays one letter.
        await listed(variables, "redrive", "--all")
        again = await letters(log, 4)
        assert (await arrived()).version == 1
        assert len((await listed(variables, "list", "--each"))["letters"]) == 2
        limited = await listed(variables, "redrive", "--all", "--max-attempts", "3", "--limit", "1", "--dry-run")
        assert (len(limited["put_back"]), len(limited["left"])) == (1, 1)
        assert again[-1].attempts == 3


async def test_what_its_owner_alone_writes_is_not_put_back(log: Topics) -> None:
    letter = dead_letter.DeadLetter(
        topic=DEALS.name, partition=0, offset=7, reason="broken-deal", detail="", value=b"{", key=b"crm/1"
    )
    await log.write(DEAD_LETTERS, [(b"crm/1", dead_letter.encode(letter))])
    said = await headroom("dead-letters", "redrive", "--all", variables=environment(log.kafka))
    assert "0 put back" in said.output
    assert "written by its owner alone" in said.output
    assert not await log.read(DEALS)


@pytest.mark.parametrize(
    ("words", "code"), [(["redrive"], 2), (["show", "inbox.v1/9/9"], 1), (["redrive", "inbox.v1/9/9"], 1)]
)
async def test_what_does_not_exist_is_said(log: Topics, words: list[str], code: int) -> None:
    await headroom("dead-letters", *words, variables=environment(log.kafka), exit_code=code)


async def test_an_empty_topic_is_an_answer(log: Topics) -> None:
    said = await headroom("dead-letters", "list", variables=environment(log.kafka))
    assert said.output == "No dead letters.\n"

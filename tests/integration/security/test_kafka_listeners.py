"""TLS and SASL on a real broker: every way in which a client is made comes in, and nobody comes in without."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from headroom import topics
from headroom.log import Partition
from shared.access import hash_key, new_key
from shared.db import upgrade
from shared.errors import NotReady
from shared.schemas import deal
from shared.settings import KafkaSettings
from shared.topics import DEALS, HISTORY, PLANS
from tests.integration.ingest.test_door_plans import plan
from tests.integration.operator.processes import environment, headroom, running
from tests.integration.security.conftest import LISTENERS, PASSWORD, Closed
from tests.waiting import eventually

KEY = new_key()
SHOWN = "SASL_SSL"
"""The listener on which ``views`` runs, too: once is enough for what takes seconds to start."""


def reaching(broker: Closed, listener: str, **changes: Any) -> KafkaSettings:
    """Settings of a client of this listener."""
    return KafkaSettings(
        security_protocol=listener,  # type: ignore[arg-type]
        topic_prefix=f"{listener.lower()}.",
        partitions=1,
        session_timeout=6.0,
        **(broker[listener] | changes),
    )


def variables(kafka: KafkaSettings, database_url: str) -> dict[str, str]:
    """The same for a process."""
    values = kafka.model_dump(mode="json", exclude_none=True) | {
        "sasl_password": kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    }
    given = {f"HEADROOM_KAFKA__{name.upper()}": str(value) for name, value in values.items() if value}
    return environment(kafka, database_url) | given | {"HEADROOM_BOOTSTRAP_KEY_HASH": hash_key(KEY)}


@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_client_comes_in(closed_broker: Closed, listener: str, database_url: str, tmp_path: Path) -> None:
    """Admin; the door's producer and plans; normalise's group, tables and writer; the sink of views; the commands."""
    kafka = reaching(closed_broker, listener)
    given = variables(kafka, database_url)
    await headroom("topics", "apply", variables=given)
    also = ("views",) if listener == SHOWN else ()
    if also:
        await asyncio.to_thread(upgrade, database_url)
    async with (
        running("door", "normalise", *also, logs=tmp_path, **given) as processes,
        ClientSession(headers={"X-API-Key": KEY}) as session,
    ):
        door = processes.status()[0].url
        async with session.put(f"{door}/v1/plans/p", data=plan("p").encode()) as answer:
            assert answer.status == 201, await answer.text()
        event = {
            "specversion": "1.0", "id": "1", "source": "crm", "type": "com.headroom.deal.changed", "subject": "1",
            "time": "2026-04-01T12:00:00Z", "data": {"stage": "won", "currency": "EUR"},
        }  # fmt: skip
        headers = {"content-type": "application/cloudevents+json"}
        async with session.post(f"{door}/v1/events", data=json.dumps(event), headers=headers) as answer:
            assert answer.status == 202, await answer.text()

        async def arrived() -> bool:
            async with Partition(kafka, DEALS, 0) as log:
                found = [record async for records in log.new() for record in records]
            return bool(found) and deal.decode(found[-1].value or b"").rate == 1.0

        await eventually(arrived, within=60, what="the deal, its rate filled from the plan's currency")
        for views in processes.status()[2:]:
            await eventually(lambda: answers(session, f"{views.url}/v1/deals/crm/1"), within=60)  # noqa: B023
    for topic in (PLANS, HISTORY):
        async with Partition(kafka, topic, 0) as log:
            assert await log.end() > 0
    said = await headroom("dead-letters", "list", variables=given)
    assert said.output == "No dead letters.\n"
    assert PASSWORD not in said_in(tmp_path)


async def answers(session: ClientSession, url: str) -> bool:
    """Whether there is something at ``url``."""
    async with session.get(url) as answer:
        return answer.status == 200


def said_in(folder: Path) -> str:
    """All logs of a folder."""
    return "".join(log.read_text() for log in folder.glob("*.log"))


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        ("SASL_SSL", {"sasl_password": "another"}),
        ("SASL_PLAINTEXT", {"sasl_password": "another"}),
        ("SSL", {"ssl_certfile": None}),
        ("SASL_SSL", {"ssl_cafile": None}),
    ],
)
async def test_nobody_else_does(closed_broker: Closed, listener: str, changes: dict[str, Any]) -> None:
    """A wrong password, no certificate, an authority that is not known here."""
    with pytest.raises(NotReady) as refused:
        await topics.diff(reaching(closed_broker, listener, **changes))
    assert PASSWORD not in str(refused.value)
    assert "another" not in str(refused.value)

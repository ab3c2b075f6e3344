"""A secret that goes through the door is found nowhere behind it: not in logs, answers, metrics or on the topics."""

import logging

import pytest

from services.ingest.domain.signature import sign_v1
from shared.topics import ALL
from tests.integration.ingest.doors import JSON, SECRET, STRUCTURED, Door

CANARY = "hr_canary-2f9c"


async def test_no_secret_is_shown(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    for headers in ({"authorization": f"Bearer {CANARY}"}, {"x-api-key": CANARY}, {"authorization": f"Basic {CANARY}"}):
        for path in ("/v1/events", "/v1/plans/x", "/v1/webhooks/hubspot/acme", "/v1/webhooks/hubspot/nobody"):
            for method in ("POST", "PUT", "GET"):
                answer = await door.client.request(method, path, content=b"{", headers=headers)
                said.append(answer.text + str(answer.headers))
    body = b'[{"portalId": 1, "objectId": 2, "occurredAt": 1, "subscriptionType": "deal.creation"}]'
    forged = {"content-type": JSON, "x-hubspot-signature": sign_v1(SECRET, body), "cookie": f"session={CANARY}"}
    said.append((await door.client.post("/v1/webhooks/hubspot/acme", content=body, headers=forged)).text)
    said.append((await door.client.post("/v1/webhooks/hubspot/old", content=body, headers=forged)).text)
    said.append((await door.send(b'{"specversion": "1.0"}', STRUCTURED, {"x-token": CANARY})).text)
    said += [(await door.client.get(path)).text for path in ("/metrics", "/openapi.json", "/readyz", "/healthz")]
    said.append(caplog.text)
    for topic in ALL:
        said += [repr((record.key, record.value, record.headers)) for record in await door.read(topic)]
    for secret in (CANARY, SECRET, door.key):
        assert not any(secret in one for one in said)
    assert any("hubspot-1/2" in one for one in said), "the request that was taken in must be among what was looked at"

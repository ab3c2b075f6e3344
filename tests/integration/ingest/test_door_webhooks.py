"""HubSpot's requests at the door: signed or not, and kept as they are, poison included."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from services.ingest.domain.signature import sign_v1, sign_v3
from services.ingest.normalise.record import CONNECTION_HEADER
from shared.schemas.inbox import SOURCE_HEADER
from shared.topics import INBOX
from tests.integration.ingest.doors import SECRET, URI, Door, header


def element(object_id: int, **more: Any) -> dict[str, Any]:
    base = {"portalId": 77, "objectId": object_id, "occurredAt": 1_782_371_971_992, "eventId": 1, "attemptNumber": 0}
    return {**base, "subscriptionType": "deal.creation", **more}


async def kept(door: Door, key: str) -> list[Any]:
    return [record for record in await door.read(INBOX) if record.key == key.encode()]


async def test_each_element_is_kept_as_the_bytes_of_its_part(door: Door) -> None:
    first = json.dumps(element(1), indent=3).encode()
    second = b'{"objectId" :2,"portalId":77, "subscriptionType":"deal.creation","occurredAt":1782371971992,"x":1.50}'
    answer = await door.hubspot(b"[\n" + first + b" ,\t" + second + b"]\n")
    assert (answer.status_code, answer.json()["ids"]) == (202, ["hubspot-77/1", "hubspot-77/2"])
    (one,) = await kept(door, "hubspot-77/1")
    (two,) = await kept(door, "hubspot-77/2")
    assert (one.value, two.value) == (first, second)
    assert (header(one, SOURCE_HEADER), header(one, CONNECTION_HEADER)) == ("hubspot", "acme")
    assert header(one, "http_x-hubspot-request-timestamp")
    assert header(one, "http_x-hubspot-signature-v3") is None


async def test_an_array_of_a_hundred(door: Door) -> None:
    answer = await door.hubspot(json.dumps([element(1000 + n) for n in range(100)]).encode())
    assert answer.json()["accepted"] == 100
    assert len([r for r in await door.read(INBOX) if r.key.startswith(b"hubspot-77/10")]) == 100


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("hubspot-acme", b"not json"),
        ("hubspot-acme", b""),
        ("hubspot-acme", b'{"a": 1'),
        ("hubspot-acme", b'[{"portalId": NaN}]'),
        ("hubspot-acme", b"[" * 100_000),
        ("hubspot-77/3", b'{"portalId": 77, "objectId": 3, "occurredAt": 1, "subscriptionType": "deal.creation"}'),
    ],
)
async def test_a_signed_body_is_kept_whatever_it_is(door: Door, key: str, body: bytes) -> None:
    before = len(await kept(door, key))
    assert (await door.hubspot(body)).status_code == 202
    assert len(await kept(door, key)) == before + 1


async def test_poison_among_good_elements_keeps_neither_back(door: Door) -> None:
    body = b'[7, {"portalId": "x"}, ' + json.dumps(element(4)).encode() + b', {"n": 1e999}]'
    before = len(await kept(door, "hubspot-acme"))
    assert (await door.hubspot(body)).status_code == 202
    assert len(await kept(door, "hubspot-acme")) == before + 3
    assert len(await kept(door, "hubspot-77/4")) == 1


async def test_a_merge_is_kept_for_each_of_its_deals(door: Door) -> None:
    merge = element(20, subscriptionType="deal.merge", primaryObjectId=21, mergedObjectIds=[22], newObjectId=20)
    answer = await door.hubspot(json.dumps([merge]).encode())
    assert answer.json()["ids"] == ["hubspot-77/20", "hubspot-77/21", "hubspot-77/22"]


@pytest.mark.parametrize(
    "signed",
    [
        {"secret": "wrong"},
        {"uri": "https://hooks.example.com/other"},
        {"at": str(int((time.time() - 400) * 1000))},
        {"at": str(int((time.time() + 4000) * 1000))},
        {"at": ""},
    ],
)
async def test_a_signature_that_does_not_hold_is_401_and_keeps_nothing(door: Door, signed: dict[str, str]) -> None:
    answer = await door.hubspot(json.dumps([element(5)]).encode(), **signed)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"] == "HubSpot-Signature"
    assert SECRET not in answer.text
    assert await kept(door, "hubspot-77/5") == []


async def test_the_body_may_not_change_after_it_was_signed(door: Door) -> None:
    body, at = json.dumps([element(6)]).encode(), str(int(time.time() * 1000))
    headers = {"x-hubspot-signature-v3": sign_v3(SECRET, "POST", URI, body, at), "x-hubspot-request-timestamp": at}
    path = "/v1/webhooks/hubspot/acme"
    assert (await door.client.post(path, content=body + b" ", headers=headers)).status_code == 401
    assert (await door.client.post(path, content=body, headers=headers)).status_code == 202
    assert (await door.client.post(path, content=body)).status_code == 401


async def test_the_rest_of_the_address_is_signed_too(door: Door) -> None:
    body, at = json.dumps([element(7)]).encode(), str(int(time.time() * 1000))
    signature = sign_v3(SECRET, "POST", f"{URI}?team=a:b", body, at)
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": at}
    path = "/v1/webhooks/hubspot/acme"
    assert (await door.client.post(f"{path}?team=a%3Ab", content=body, headers=headers)).status_code == 202
    assert (await door.client.post(f"{path}?team=c", content=body, headers=headers)).status_code == 401


async def test_older_signatures_where_the_connection_allows_them(door: Door) -> None:
    body = json.dumps([element(8)]).encode()
    headers = {"x-hubspot-signature": sign_v1(SECRET, body), "x-hubspot-signature-version": "v1"}
    assert (await door.client.post("/v1/webhooks/hubspot/old", content=body, headers=headers)).status_code == 202
    assert (await door.client.post("/v1/webhooks/hubspot/acme", content=body, headers=headers)).status_code == 401
    assert (await door.hubspot(body, connection="old")).status_code == 401


async def test_the_signature_is_over_the_bytes_as_sent(door: Door) -> None:
    zipped, at = gzip.compress(json.dumps([element(9)]).encode()), str(int(time.time() * 1000))
    headers = {
        "content-encoding": "gzip",
        "x-hubspot-signature-v3": sign_v3(SECRET, "POST", URI, zipped, at),
        "x-hubspot-request-timestamp": at,
    }
    assert (await door.client.post("/v1/webhooks/hubspot/acme", content=zipped, headers=headers)).status_code == 202
    assert len(await kept(door, "hubspot-77/9")) == 1


async def test_an_unknown_connection_is_404(door: Door) -> None:
    assert (await door.hubspot(b"[]", connection="nobody")).status_code == 404


async def test_a_body_for_an_unknown_connection_is_not_waited_for(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.settings.http.port)
    writer.write(b"POST /v1/webhooks/hubspot/nobody HTTP/1.1\r\nhost: door\r\ncontent-length: 1000000\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404")


async def test_a_body_over_the_limit_is_413(door: Door) -> None:
    assert (await door.hubspot(b" " * (1024 * 1024 + 1))).status_code == 413

"""The receiver takes what is signed with its secret, once, and nothing else."""

import json
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

from headroom.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"type": "recalibration.firing", "timestamp": "2026-05-08T10:00:00Z", "data": {"id": "r1"}})


async def post(receiver: Receiver, body: str = BODY, *, id: str = "e1", secret: str = SECRET) -> int:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, now, body),
        "content-type": "application/json",
    }
    async with aiohttp.ClientSession() as http, http.post(receiver.url, data=body, headers=headers) as answer:
        return answer.status


async def test_a_signed_message_is_taken_once() -> None:
    async with Receiver() as receiver:
        receiver.trust(SECRET)
        assert [await post(receiver), await post(receiver)] == [204, 204]
        assert [(d.id, d.type, d.data) for d in receiver.deliveries] == [("e1", "recalibration.firing", {"id": "r1"})]
        assert receiver.repeated == 1


async def test_a_message_signed_with_another_secret_is_refused() -> None:
    async with Receiver() as receiver:
        receiver.trust(SECRET)
        assert await post(receiver, secret="whsec_" + "A" * 32) == 401
        assert (receiver.deliveries, receiver.refused) == ([], 1)


async def test_a_body_changed_after_signing_is_refused() -> None:
    now = datetime.now(UTC)
    signed = Webhook(SECRET).sign("e1", now, BODY)
    headers = {"webhook-id": "e1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    async with Receiver() as receiver, aiohttp.ClientSession() as http:
        receiver.trust(SECRET)
        async with http.post(receiver.url, data=BODY.replace("r1", "r2"), headers=headers) as answer:
            assert answer.status == 401
        assert receiver.deliveries == []


async def test_before_the_secret_is_known_the_sender_is_asked_to_try_again() -> None:
    async with Receiver() as receiver:
        assert await post(receiver) == 503
        receiver.trust(SECRET)
        assert await post(receiver) == 204

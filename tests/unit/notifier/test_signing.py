"""Signatures: against the published vectors, and with several secrets at once."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifier.domain.signing import SECRET_BYTES, Secret, secret_of, signed_headers
from tests.unit.notifier.vectors import vectors


def test_the_published_signatures() -> None:
    cases = [case for case in vectors("vectors.json", "payloads/standard-webhooks")["vectors"] if "timestamp" in case]
    assert len(cases) >= 3
    for case in cases:
        now = datetime.fromtimestamp(case["timestamp"], UTC)
        headers = signed_headers(case["msg_id"], case["payload"], [Secret(case["secret"])], now)
        assert (headers["webhook-signature"] == case["signature"]) == case["valid"], case
        assert headers["webhook-timestamp"] == str(case["timestamp"])


@given(st.text(), st.lists(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), min_size=1, max_size=4))
def test_each_secret_of_a_rotation_verifies_and_no_other(body: str, entropies: list[bytes]) -> None:
    active = [secret_of(entropy) for entropy in entropies]
    headers = signed_headers("event-1", body, active, datetime.now(UTC))
    for secret in active:
        Webhook(secret.reveal()).verify(body, headers, json_parse=False)
    stranger = secret_of(bytes(byte ^ 255 for byte in entropies[0]))
    if stranger.reveal() not in [secret.reveal() for secret in active]:
        with pytest.raises(WebhookVerificationError):
            Webhook(stranger.reveal()).verify(body, headers, json_parse=False)


def test_a_secret_does_not_show_itself() -> None:
    secret = secret_of(bytes(range(32)))
    hidden = secret.reveal().removeprefix("whsec_")
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"secret": secret})):
        assert hidden not in shown

"""Secrets and signatures of the Standard Webhooks scheme, version ``v1`` (HMAC-SHA-256)."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from standardwebhooks import Webhook

PREFIX: Final = "whsec_"
SECRET_BYTES = 32


class Secret:
    """A signing secret that does not show itself in logs, errors or debuggers."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself: for the signature, the store, and the one answer that shows it to its owner."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({PREFIX}…)"

    __str__ = __repr__


def secret_of(entropy: bytes) -> Secret:
    """The secret made of ``entropy``, which should be ``SECRET_BYTES`` random bytes."""
    return Secret(PREFIX + base64.b64encode(entropy).decode())


def signed_headers(event_id: str, body: str, active: Sequence[Secret], now: datetime) -> dict[str, str]:
    """The headers of one attempt at ``now`` (UTC), signed with each of ``active``, so that a rotation can overlap.

    ``event_id`` is the same over all attempts and is what the receiver drops duplicates by.
    """
    signatures = [Webhook(secret.reveal()).sign(event_id, now, body) for secret in active]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }

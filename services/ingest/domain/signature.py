"""Who signed a HubSpot request, over the bytes as they came.

As HubSpot documents it: v3 is base64 HMAC-SHA256 of method + uri + body + timestamp; v2 hex SHA-256 of secret + method
+ uri + body; v1 hex SHA-256 of secret + body. The uri is the public one, with some percent codes undone for v3. v1 and
v2 know no time, so a recorded request can be sent again for ever: they count only where the connection allows them.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

Version = Literal["v1", "v2", "v3"]
Verdict = Literal["signed", "no-signature", "wrong-signature", "stale", "version-not-allowed"]

TOLERANCE_MS = 300_000

_UNDONE = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}


def decoded_uri(uri: str) -> str:
    """The uri with exactly those percent codes undone that HubSpot undoes before it signs."""
    for code, character in _UNDONE.items():
        uri = uri.replace(code, character).replace(code.lower(), character)
    return uri


def sign_v3(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """The v3 signature of a request; ``timestamp`` in milliseconds as the header has it."""
    signed = method.encode() + decoded_uri(uri).encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def sign_v2(secret: str, method: str, uri: str, body: bytes) -> str:
    """The v2 signature of a request."""
    return hashlib.sha256(secret.encode() + method.encode() + uri.encode() + body).hexdigest()


def sign_v1(secret: str, body: bytes) -> str:
    """The v1 signature of a body."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def verify(
    headers: Mapping[str, str],
    *,
    secrets: Sequence[str],
    allowed: Collection[Version],
    method: str,
    uri: str,
    body: bytes,
    now_ms: int,
) -> Verdict:
    """Whether one of ``secrets`` signed the request. ``headers`` has lower-case names; ``now_ms`` is wall time.

    A request that carries a v3 signature is judged by it alone, or a forger could fall back to an older one.
    """
    v3 = headers.get("x-hubspot-signature-v3")
    if v3 is not None and "v3" in allowed:
        timestamp = headers.get("x-hubspot-request-timestamp", "")
        made = [sign_v3(secret, method, uri, body, timestamp) for secret in secrets]
        if not _is_one_of(v3, made):
            return "wrong-signature"
        return "signed" if _is_fresh(timestamp, now_ms) else "stale"
    older = headers.get("x-hubspot-signature")
    if older is None:
        return "version-not-allowed" if v3 is not None else "no-signature"
    version = headers.get("x-hubspot-signature-version", "v1")
    if version not in allowed or version == "v3":
        return "version-not-allowed"
    if version == "v2":
        made = [sign_v2(secret, method, uri, body) for secret in secrets]
    else:
        made = [sign_v1(secret, body) for secret in secrets]
    return "signed" if _is_one_of(older, made) else "wrong-signature"


def _is_one_of(given: str, made: Sequence[str]) -> bool:
    """Constant time in the content; all are compared, so the time does not tell which secret fitted."""
    sent = given.encode("utf-8", "replace")
    return sum(hmac.compare_digest(sent, one.encode()) for one in made) > 0


def _is_fresh(timestamp: str, now_ms: int) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        return False
    return abs(now_ms - int(timestamp)) <= TOLERANCE_MS

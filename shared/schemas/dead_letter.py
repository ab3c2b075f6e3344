"""``dead-letters.v1``: what could not be used — the original bytes, where they came from, and why."""

import msgspec

TYPE = "headroom.dead-letter.v1"


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One record that could not be used: original bytes (base64 in JSON), origin, reason, how often it was tried."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    value: bytes
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = []
    attempts: int = 1


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(DeadLetter).decode

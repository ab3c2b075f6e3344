"""``dead-letters.v1``: what could not be used — the original bytes, where they came from, and why.

What a reader may rely on: every record that a process could not use has its letter, also when the process was killed
right then; of cells, which are made anew from deals, every one that is still the last of its key. It may come more than
once (a restart writes the letters of broken records that are still on its topics anew), always with the same event id,
``topic/partition/offset`` of the record. So drop ids that you have seen.
"""

from collections.abc import Iterable

import msgspec

TYPE = "headroom.dead-letter.v1"

REDRIVE_OF_HEADER = "headroom_redrive_of"
"""On a record that was put back: the id of the letter it was, ``topic/partition/offset``."""

ATTEMPTS_HEADER = "headroom_attempts"
"""On a record that was put back: how often it has been tried before."""


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


def letter_id(topic: str, partition: int, offset: int) -> str:
    """What a letter is called: where the record lay that could not be used."""
    return f"{topic}/{partition}/{offset}"


def attempts_before(headers: Iterable[tuple[str, bytes]]) -> int:
    """How often a record with these headers was tried before it was put back; 0 for one that never was."""
    for name, value in headers:
        if name == ATTEMPTS_HEADER and value.isdigit() and len(value) < 10:
            return int(value)
    return 0

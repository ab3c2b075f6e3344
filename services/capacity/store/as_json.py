"""Values as JSON that PostgreSQL takes."""

from typing import Any

import msgspec


def as_json(value: Any) -> str:
    """JSON that PostgreSQL takes: its text cannot hold the character NUL, which JSON can."""
    encoded = msgspec.json.encode(value)
    if rb"\u0000" in encoded:
        encoded = msgspec.json.encode(_without_nul(msgspec.json.decode(encoded)))
    return encoded.decode()


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "�")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case _:
            return value

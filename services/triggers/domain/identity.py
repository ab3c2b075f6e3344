"""Names that a replay makes again: ``uuid5`` of what an episode and its transitions are."""

import json
from uuid import UUID, uuid5

NAMESPACE = UUID("6f1b6f0a-6f0c-5d0e-9c53-3c1d7a0b8e11")
"""Fixed for ever: with another one, every replay would announce everything anew."""


def recalibration_id(trigger: str, scope: str, number: int) -> str:
    """The id of the recalibration that episode ``number`` of a trigger in a scope asks for."""
    return str(uuid5(NAMESPACE, json.dumps([trigger, scope, number])))


def event_id(trigger: str, scope: str, number: int, transition: int) -> str:
    """The id of one transition of that episode."""
    return str(uuid5(NAMESPACE, json.dumps([trigger, scope, number, transition])))

"""The AsyncAPI document names every topic and resolves every reference."""

import json
from collections.abc import Iterator
from typing import Any

from headroom.asyncapi import document
from shared.schemas.events import EVENTS
from shared.topics import ALL


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_topic_and_every_event_is_named() -> None:
    made = document()
    assert set(made["channels"]) == {topic.name for topic in ALL}
    assert set(made["components"]["messages"]) == set(EVENTS)


def test_every_reference_leads_somewhere() -> None:
    made = json.loads(json.dumps(document()))
    found = list(references(made))
    assert found
    for reference in found:
        node: Any = made
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_event_is_carried_by_a_topic() -> None:
    carried = {name for topic in ALL for name in topic.events}
    assert carried == set(EVENTS)

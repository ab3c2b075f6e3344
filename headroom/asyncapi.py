"""``headroom asyncapi``: topics and events as an AsyncAPI 3 document, generated from where they are declared."""

import json
from importlib.metadata import version
from typing import Any

import msgspec

from shared.schemas.events import EVENTS
from shared.topics import ALL, Topic

POINTER = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """The whole document; the same for the same version of Headroom."""
    references, schemas = msgspec.json.schema_components(EVENTS.values(), ref_template=POINTER)
    payloads = dict(zip(EVENTS, references, strict=True))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headroom",
            "version": version("headroom"),
            "description": "CloudEvents 1.0 in the Kafka binary binding: attributes in ce_* headers, JSON data.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in ALL},
        "components": {"messages": {name: _message(name, payloads[name]) for name in EVENTS}, "schemas": schemas},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"{topic.doc}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.events},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": _configuration(topic)}},
    }


def _configuration(topic: Topic) -> dict[str, Any]:
    larger = {"max.message.bytes": topic.largest} if topic.largest is not None else {}
    if topic.keep is None:
        return {"cleanup.policy": ["compact"], **larger}
    return {"cleanup.policy": ["delete"], "retention.ms": int(topic.keep.total_seconds() * 1000), **larger}


def _message(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    kind = EVENTS[name]
    summary = (kind.__doc__ or "").strip().split("\n")[0]
    return {"name": name, "title": kind.__name__, "summary": summary, "payload": payload}


def asyncapi() -> None:
    """Print the AsyncAPI 3 document of all topics and events."""
    print(json.dumps(document(), indent=2))

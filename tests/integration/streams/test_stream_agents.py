"""Holes of stock Faust between an agent and the commit: each body also runs on an agent of stock."""

import asyncio
from functools import partial
from typing import Any, NoReturn

import pytest

from shared.settings import KafkaSettings
from tests.groups import committed
from tests.integration.streams import toy
from tests.integration.streams.agents import GROUP, of_stock, ours
from tests.integration.streams.toy import INPUT
from tests.stock import stock
from tests.waiting import eventually


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 1, INPUT)
    return settings


async def exception() -> NoReturn:
    raise ValueError("poison")


async def cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("run", [ours, stock(of_stock, because="what leaves an agent acknowledges its event")])
@pytest.mark.parametrize("leave", [exception, cancellation])
async def test_what_leaves_the_agent_is_not_committed(system: KafkaSettings, run: Any, leave: Any) -> None:
    """Neither is what comes after it: the worker ends."""
    seen: list[bytes] = []

    async def handle(value: bytes) -> None:
        seen.append(value)
        if value == b"poison":
            await leave()

    async with run(system, handle) as agent:
        await toy.produce(system, INPUT, [(0, b"k", b"poison")])
        await eventually(lambda: seen)
        await toy.produce(system, INPUT, [(0, b"k", b"fine")])
        await eventually(lambda: agent.failures or b"fine" in seen)
    assert not any((await committed(system, GROUP, INPUT)).values()), "the poison counts as handled"


@pytest.mark.parametrize(
    "run", [ours, stock(partial(of_stock, serializer="json"), because="a decode error acknowledges the message")]
)
async def test_what_cannot_be_decoded_comes_to_the_handler(system: KafkaSettings, run: Any) -> None:
    seen: list[Any] = []

    async def handle(value: Any) -> None:
        seen.append(value)

    await toy.produce(system, INPUT, [(0, b"k", b"{broken"), (0, b"k", b"1")])
    async with run(system, handle):
        await eventually(lambda: toy.committed_is(system, GROUP, INPUT, {0: 2}))
    assert seen[0] == b"{broken", "committed, and nobody has seen it"


@pytest.mark.parametrize(
    ("run", "streams"),
    [
        (ours, 1),
        stock(partial(of_stock, concurrency=2), 2, because="what one stream has done is committed past another's"),
    ],
)
async def test_nothing_is_committed_past_what_is_under_way(system: KafkaSettings, run: Any, streams: int) -> None:
    seen: list[bytes] = []
    gate = asyncio.Event()

    async def handle(value: bytes) -> None:
        seen.append(value)
        if value == b"slow":
            await gate.wait()

    await toy.produce(system, INPUT, [(0, b"k", b"slow"), (0, b"k", b"fine")])
    async with run(system, handle) as agent:
        await eventually(lambda: len(seen) == streams)
        await agent.consumers[0].force_commit()
        assert not any((await committed(system, GROUP, INPUT)).values()), "a crash now would lose the slow one"
        gate.set()
        await eventually(lambda: toy.committed_is(system, GROUP, INPUT, {0: 2}))

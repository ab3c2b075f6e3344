"""Waiting for what will be true, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")


async def eventually(
    question: Callable[[], T | Awaitable[T]], *, within: float = 20.0, every: float = 0.05, what: str = ""
) -> T:
    """Ask until the answer is true and return it; after ``within`` seconds fail with the last answer.

    An ``AssertionError`` from ``question`` counts as "not yet" and is shown when time is up.
    """
    deadline = time.monotonic() + within
    while True:
        answer: object
        try:
            asked = question()
            answer = await asked if inspect.isawaitable(asked) else asked
        except AssertionError as error:
            answer, holds = error, False
        else:
            holds = bool(answer)
        if holds:
            return cast(T, answer)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or question} did not become true within {within:g} s; last answer: {answer!r}")
        await asyncio.sleep(every)


def eventually_sync(question: Callable[[], T], *, within: float = 20.0, every: float = 0.05, what: str = "") -> T:
    """``eventually`` for tests without an event loop."""
    return asyncio.run(eventually(question, within=within, every=every, what=what))

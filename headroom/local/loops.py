"""Calling asynchronous code from blocking code that may itself be inside a running event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do the work in a thread of its own, where it may run event loops, and wait for it."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work).result()


def run_apart(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run a coroutine in an event loop of its own in a thread of its own, and wait for it."""
    return apart(lambda: asyncio.run(work()))

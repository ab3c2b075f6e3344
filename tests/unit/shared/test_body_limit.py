"""Bodies that are too large, or do not come."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Body, FastAPI
from httpx2 import ASGITransport, AsyncClient

from shared.http import BodyLimit


def made(within: float) -> AsyncClient:
    app = FastAPI()

    @app.post("/said")
    async def said(told: str = Body()) -> str:
        """What was said."""
        return told

    app.add_middleware(BodyLimit, largest=100, within=within)
    return AsyncClient(transport=ASGITransport(app), base_url="http://test")


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b'"a'
        await asyncio.Event().wait()

    async with made(0.05) as client:
        answer = await client.post("/said", content=stalls(), headers={"content-type": "application/json"})
    assert answer.status_code == 408


async def test_a_body_that_is_there_is_read_and_one_that_is_too_large_is_not() -> None:
    async with made(60) as client:
        assert (await client.post("/said", json="a" * 90)).json() == "a" * 90
        assert (await client.post("/said", json="a" * 99)).status_code == 413

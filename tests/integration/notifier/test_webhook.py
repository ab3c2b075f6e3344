"""The webhook channel against real sockets: signed, bounded, and never where it must not go."""

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from ipaddress import IPv4Network

import pytest
from aiohttp import web

from services.notifier.channels.webhook import ANSWER_BYTES, SHOWN_BYTES, Webhook
from services.notifier.domain.schedule import Answer
from tests.integration.notifier.made import SECRET
from tests.integration.notifier.receiver import Receiver, with_headers

OWN = (IPv4Network("127.0.0.0/8"),)


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with Webhook(exempt=OWN, timeout=1.0, connections=10) as webhook:
        yield webhook


async def send(webhook: Webhook, url: str) -> tuple[Answer, float, str]:
    return await webhook.send(url, "event-1", '{"a":"é"}', [SECRET], datetime.now(UTC))


async def test_the_receiver_can_verify_what_it_gets(webhook: Webhook, receiver: Receiver) -> None:
    answer, _, text = await send(webhook, receiver.url())
    assert (answer.status, text) == (200, "thanks")
    [got] = receiver.got
    assert got.verified(SECRET.reveal()) == {"a": "é"}
    assert got.event == "event-1"
    assert got.headers["Content-Type"] == "application/json"


async def test_a_redirect_is_an_answer_and_is_not_followed(webhook: Webhook, receiver: Receiver) -> None:
    answer, _, _ = await send(webhook, receiver.answer("hook", with_headers(307, Location=receiver.url("elsewhere"))))
    assert answer.status == 307
    assert [one.path for one in receiver.got] == ["hook"]


async def test_without_leave_this_machine_is_not_dialled(receiver: Receiver) -> None:
    async with Webhook(exempt=(), timeout=1.0, connections=10) as strict:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            answer, _, _ = await send(strict, f"http://{host}:{receiver.port}/hook")
            assert answer.status is None
            assert "not dialled" in answer.failure, host
    assert receiver.got == []


async def test_a_name_is_pinned_to_the_addresses_that_were_ruled_on(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently every time: allowed once, then an address of the inner network."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *rest: object, **more: object) -> list[object]:
        if host != "rebinding.example":
            return list(real(host, port, *rest, **more))  # type: ignore[arg-type]
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = f"http://rebinding.example:{receiver.port}/hook"
    first, _, _ = await send(webhook, url)
    assert first.status == 200
    assert len(asked) == 1
    assert receiver.got[0].headers["Host"] == f"rebinding.example:{receiver.port}"
    second, _, _ = await send(webhook, url)
    assert second.failure == "not dialled: 10.0.0.1 is in 10.0.0.0/8: private"


async def test_a_mixed_answer_of_a_name_server_is_refused_whole(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, receiver.port)) for ip in ("127.0.0.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    answer, _, _ = await send(webhook, f"http://mixed.example:{receiver.port}/hook")
    assert "not dialled" in answer.failure
    assert receiver.got == []


async def test_a_receiver_that_hangs_costs_no_more_than_the_timeout(webhook: Webhook, receiver: Receiver) -> None:
    answer, seconds, _ = await send(webhook, receiver.answer("hook", receiver.hang))
    assert answer == Answer(None, failure="no full answer within 1 s")
    assert seconds < 5


async def test_a_body_that_drips_is_cut_off_by_the_same_timeout(webhook: Webhook, receiver: Receiver) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.05)

    answer, _, _ = await send(webhook, receiver.answer("hook", drip))
    assert answer.failure == "no full answer within 1 s"


async def test_of_an_endless_answer_only_the_beginning_is_read(webhook: Webhook, receiver: Receiver) -> None:
    written = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            written += 65536

    answer, _, text = await send(webhook, receiver.answer("hook", pour))
    assert answer.status == 200
    assert text == "x" * SHOWN_BYTES
    assert written < 400 * ANSWER_BYTES


async def test_a_packed_answer_is_not_unpacked(webhook: Webhook, receiver: Receiver) -> None:
    packed = gzip.compress(b"\0" * 50_000_000, compresslevel=1)  # before anybody waits for it

    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    tracemalloc.start()
    answer, _, text = await send(webhook, receiver.answer("hook", bomb))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status == 200
    assert len(text) <= SHOWN_BYTES
    assert "\0" not in text
    assert most < 5_000_000


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
async def test_what_is_not_http_is_a_failure_with_words(webhook: Webhook, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        met, _, _ = await send(webhook, f"http://127.0.0.1:{port}/")
    assert met.status is None
    assert met.failure


async def test_a_closed_port_is_a_failure_with_words(webhook: Webhook) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    met, _, _ = await send(webhook, f"http://127.0.0.1:{port}/")
    assert met.status is None
    assert "127.0.0.1" in met.failure

"""The look for a Docker engine is quick and takes nothing for an engine that does not answer as one."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headroom.local.containers import docker_answers


@pytest.fixture
def engine() -> Iterator[str]:
    """Something that answers a ping as a Docker engine does."""

    class Ping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_ping" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ping) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_engine_that_answers_is_seen(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert docker_answers()


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_no_engine_is_no_engine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert not docker_answers()


def test_a_file_where_the_socket_should_be_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker.sock").touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert not docker_answers()

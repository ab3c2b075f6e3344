"""The guard lets what was read pass, and nothing else."""

import inspect
from importlib.metadata import distribution

import pytest
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.consumer import Consumer

from shared.errors import ConfigurationError
from shared.streams import guard


def test_what_is_installed_was_read() -> None:
    guard.check_versions()


@pytest.mark.parametrize("name", sorted(guard.VERSIONS))
def test_another_version_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.VERSIONS, name, "0.0.1")
    with pytest.raises(ConfigurationError, match=name):
        guard.check_versions()


def test_a_changed_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def perform_seek(self: object) -> None: ...

    read = guard.READ[Consumer.perform_seek]
    monkeypatch.setattr(guard, "READ", guard.READ | {perform_seek: read})
    with pytest.raises(ConfigurationError, match="perform_seek"):
        guard.check_versions()


def test_whatever_uses_the_wait_that_fetching_sets_was_read() -> None:
    """It counts for the next request only if it is looked at anew for each."""
    functions = [function for _, function in inspect.getmembers(Fetcher, inspect.isfunction)]
    users = {function for function in functions if "._fetch_max_wait_ms" in inspect.getsource(function)}
    assert users - {Fetcher.__init__} == {Fetcher._get_actions_per_node}
    assert Fetcher._get_actions_per_node in guard.READ


def test_a_changed_compiled_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.COMPILED, "faust/_cython/streams.pyx", "0" * 16)
    with pytest.raises(ConfigurationError, match=r"streams\.pyx"):
        guard.check_versions()


def test_every_compiled_module_is_among_those_held_against_their_wheel() -> None:
    files = [str(file) for file in distribution("faust-streaming").files or []]
    compiled = [file for file in files if "_cython" in file and file.endswith((".so", ".pyd"))]
    assert compiled, "without compiled modules other code runs than was read"

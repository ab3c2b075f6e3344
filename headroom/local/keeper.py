"""Starts an embedded broker or database again when it ends although nobody ended it."""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from shared.errors import HeadroomError

LOOK_EVERY = 0.5
AFTER_A_FAILURE = 5.0


class Keepable(Protocol):
    """A server that knows whether it ended by itself."""

    @property
    def lost(self) -> bool:
        """Whether it was running, nobody ended it, and it runs no more."""

    def start(self) -> None:
        """Start it again on its data and address."""


class Keeper:
    """Looks after servers by name until it is stopped; ``report`` hears of every end and every new start."""

    def __init__(self, servers: Mapping[str, Keepable], report: Callable[[str], None]) -> None:
        self._servers = servers
        self._report = report
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to look after them."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when nothing is being started. One that never began has nothing to end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        pause = LOOK_EVERY
        while not self._stopping.wait(pause):
            pause = LOOK_EVERY
            for name, server in self._servers.items():
                if server.lost and not self._start_again(name, server):
                    pause = AFTER_A_FAILURE

    def _start_again(self, name: str, server: Keepable) -> bool:
        self._report(f"{name} has ended; starting it again")
        try:
            server.start()
        except HeadroomError as failure:
            self._report(f"{name} could not be started again: {failure}")
            return False
        self._report(f"{name} runs again")
        return True

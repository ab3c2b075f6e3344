"""What an embedded broker and an embedded database have in common: one child process, started, lost, restarted."""

import signal
import subprocess
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from headroom.local.children import stop
from shared.errors import NotReady


class EmbeddedServer(ABC):
    """A server of ours on this machine; as a context manager started on entry, stopped on exit."""

    what: ClassVar[str]
    """What it is called in an error."""
    ask: ClassVar[signal.Signals] = signal.SIGTERM
    """The signal that asks it to end."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def pid(self) -> int:
        """Its process id; raises ``NotReady`` when it was never started."""
        if self._child is None:
            raise NotReady(f"{self.what} has not been started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def lost(self) -> bool:
        """Whether it was running, nobody ended it through this object, and it runs no more."""
        return self._wanted and not self.alive

    def start(self, timeout: float = 60.0) -> None:
        """Start and wait until it answers; does nothing when it runs already.

        Raises ``NotReady`` with the end of its log when it dies or is not there within ``timeout`` seconds.
        """
        if not self.alive:
            self._child = self._spawn()
            self._wait(timeout)
            self._wanted = True

    def stop(self, grace: float = 10.0) -> None:
        """Shut it down in order; what was temporary is deleted."""
        self._end(grace)
        self._clean()

    def restart(self) -> None:
        """Start again on the same data and address, after a ``kill`` or in order."""
        self._end(10.0)
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop(grace=0)
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def _end(self, grace: float) -> None:
        self._wanted = False
        if self._child is not None:
            stop(self._child, grace=grace, ask=self.ask)

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """Prepare its data where that is needed, and start its process."""

    @abstractmethod
    def _wait(self, timeout: float) -> None:
        """Return when it answers; raises ``NotReady``, its process ended, when it does not."""

    @abstractmethod
    def _clean(self) -> None:
        """Delete what was temporary."""

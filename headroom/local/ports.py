"""Free TCP ports on loopback, for servers that must find their port free again after a restart.

They are taken from below the range that systems give outgoing connections their ports from: one of that range may be in
use by a client just when a killed server wants it back.
"""

import random
import socket
from contextlib import ExitStack

_LOWEST, _HIGHEST = 15_000, 32_000


def free_ports(count: int, prefer: int | None = None) -> list[int]:
    """Ports that nobody listens on now, all different; consecutive from ``prefer`` on where those are free."""
    with ExitStack() as held:
        wanted = [None if prefer is None else prefer + i for i in range(count)]
        return [held.enter_context(_bound(port)).getsockname()[1] for port in wanted]


def _bound(port: int | None) -> socket.socket:
    """A socket bound to the port, or to any free one when that is taken."""
    while True:
        probe = socket.socket()
        # A server that was stopped a moment ago leaves connections in TIME_WAIT; its port can be had all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or random.randint(_LOWEST, _HIGHEST)))
        except OSError:
            probe.close()
            port = None
        else:
            return probe

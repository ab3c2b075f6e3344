"""Free TCP ports on loopback."""

import socket
from contextlib import ExitStack


def free_ports(count: int, prefer: int | None = None) -> list[int]:
    """Ports that nobody listens on now, all different; consecutive from ``prefer`` on where those are free."""
    with ExitStack() as held:
        return [held.enter_context(_bind(0 if prefer is None else prefer + i)).getsockname()[1] for i in range(count)]


def _bind(port: int) -> socket.socket:
    """A socket bound to the port, or to any free one when that is taken (0: any)."""
    probe = socket.socket()
    try:
        # A service that was stopped a moment ago leaves connections in TIME_WAIT; its port can be had all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.bind(("127.0.0.1", 0))
    return probe

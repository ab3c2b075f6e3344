"""This machine and this installation: library versions, Java, ports, the clock against others."""

import http.client
import json
import platform
import socket
from collections.abc import Mapping
from importlib.metadata import version

from headroom.checks.finding import Finding
from headroom.local.java import find_java
from shared.errors import ConfigurationError, NotReady
from shared.streams.guard import VERSIONS, check_versions

SUPPORTED = ((3, 11), (3, 13))

SKEW_NOTED, SKEW_HARMFUL = 1.0, 30.0
"""Seconds. Senders' signatures are refused from five minutes on; what is stamped by two clocks mixes long before."""


def versions() -> list[Finding]:
    """Headroom's own version, Python's, and the libraries that are read before they are run."""
    found = f"headroom {version('headroom')}, Python {platform.python_version()}"
    pinned = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    running = tuple(int(part) for part in platform.python_version_tuple()[:2])
    if not SUPPORTED[0] <= running <= SUPPORTED[1]:
        do = "Use Python 3.11 to 3.13; `make setup` finds one"
        return [Finding("versions", "problem", found, "Faust has no wheels for this Python", do)]
    try:
        check_versions()
    except ConfigurationError as error:
        means = "the stream processes refuse to run on libraries that nobody has read"
        return [Finding("versions", "problem", f"{error.where}: {error.why}", means, error.do)]
    return [Finding("versions", "ok", f"{found}; {pinned} as they were read")]


def java(broker_is_named: bool) -> Finding:
    """A Java for the embedded broker; not needed where a broker is named."""
    try:
        return Finding("Java", "ok", str(find_java()))
    except NotReady as error:
        if broker_is_named:
            return Finding("Java", "note", "none, and none is needed: HEADROOM_KAFKA__BOOTSTRAP names a broker")
        means = "`headroom up` cannot start a broker of its own"
        return Finding("Java", "problem", f"{error.what} ({error.why})", means, error.do)


def ports(first: int, count: int, running: Mapping[str, str]) -> Finding:
    """The ports that ``headroom up`` would like; ``running`` are the addresses of the system that has them."""
    ours = {int(url.rsplit(":", 1)[1]): name for name, url in running.items()}
    taken = [port for port in range(first, first + count) if port not in ours and not _free(port)]
    wanted = f"{first}–{first + count - 1}"
    if not taken:
        return Finding("ports", "ok", f"{wanted} are {'this system’s' if ours else 'free'}")
    if kin := [port for port in taken if _is_of_headroom(port)]:
        what = f"{', '.join(map(str, kin))} belong to another Headroom system, which is not what is examined here"
        do = f"To examine that one give --data as it said when it was ready, or --url http://127.0.0.1:{kin[0]}"
        return Finding("ports", "note", what, "it runs on another data folder or with --ephemeral", do)
    means = f"{', '.join(map(str, taken))} belong to another program; `headroom up` takes others and says which"
    return Finding("ports", "note", f"not all of {wanted} are free", means)


def _is_of_headroom(port: int) -> bool:
    """Whether what listens there says how ready it is in Headroom's words."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        said = json.loads(connection.getresponse().read(65_536))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(said, dict) and said.keys() == {"ready", "reasons"}


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def clock(whose: str, ahead: float, accuracy: float = 0.0) -> Finding:
    """How far another clock is ahead of this machine's, in seconds, known to ``accuracy``."""
    check = f"clock of {whose}"
    beyond = abs(ahead) - accuracy
    what = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if beyond < SKEW_NOTED:
        return Finding(check, "ok", "agrees with this machine's")
    if beyond < SKEW_HARMFUL:
        return Finding(check, "note", what, "latencies and ages are off by that much")
    means = "ages, deadlines and latencies are wrong by that much, and signatures may be refused as stale"
    return Finding(check, "problem", what, means, "Synchronise both machines' clocks (chrony, systemd-timesyncd)")

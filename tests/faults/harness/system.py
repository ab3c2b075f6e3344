"""The whole system for fault runs: every process with kill points, a broker behind a proxy, a database of its own.

The services know the broker by the proxy's address only; the harness reads and writes past the proxy. A supervisor
starts again what ends, as in production.
"""

import json
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from headroom import topics
from headroom.local.folders import temporary_folder
from headroom.local.kafka import EmbeddedKafka
from headroom.local.loops import apart, run_apart
from headroom.local.ports import free_ports
from headroom.local.postgres import EmbeddedPostgres
from headroom.local.processes import ProcessStatus, Program, Supervisor
from headroom.local.system import PROGRAMS, ROOT
from shared.access import hash_key, new_key
from shared.db import upgrade
from shared.settings import KafkaSettings
from tests.faults.harness import killpoints
from tests.faults.harness.proxy import Proxy

PARTITIONS = 3
"""As many as there are ever workers of a role, so that each of three has one."""
SESSION_TIMEOUT = 6.0
AS_OF = datetime(2026, 3, 30, 8, tzinfo=UTC)
"""A Monday. The deals of the load close so late that no day or week that passes changes what they ask of whom when."""
SPEED = 20.0
SECRET = secrets.token_hex(16)
HOOK = "https://hooks.example.com/v1/webhooks/hubspot/acme"
CONNECTION = {"secrets": [SECRET], "uri": HOOK, "portals": [1]}


class ServedKafka(EmbeddedKafka):
    """A broker with two addresses: its own for the harness, the proxy's for the services. It compacts at once."""

    def __init__(self) -> None:
        super().__init__()
        self.served_port, self.proxy_port = free_ports(2)

    def _write_properties(self) -> Path:
        file = super()._write_properties()
        more = {
            "listeners": f"PLAINTEXT://{self.bootstrap},SERVED://127.0.0.1:{self.served_port}"
            f",CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},SERVED://127.0.0.1:{self.proxy_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SERVED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.cleaner.backoff.ms": "100",
            "log.cleaner.threads": "2",
        }
        with file.open("a") as properties:
            properties.writelines(f"{name}={value}\n" for name, value in more.items())
        return file


class TakenDatabase(EmbeddedPostgres):
    """A database that can be taken away; ``start`` brings it back with its data."""

    def end(self, *, crash: bool) -> None:
        """Shut it down and cut its clients off; after a ``crash`` it recovers from its log when it starts."""
        self._wanted = False
        os.kill(self.pid, signal.SIGQUIT if crash else signal.SIGINT)
        assert self._child is not None
        self._child.wait()


class System:
    """Everything that runs. As a context manager it is started on entry, ready, and gone on exit."""

    def __init__(self) -> None:
        self.folder = temporary_folder("headroom-faults-")
        self.keep_logs = False
        self.key = new_key()
        self.kafka = ServedKafka()
        self.proxy = Proxy(self.kafka.proxy_port, self.kafka.served_port)
        self.postgres = TakenDatabase()
        self.settings = KafkaSettings(
            bootstrap=self.kafka.bootstrap, partitions=PARTITIONS, session_timeout=SESSION_TIMEOUT
        )
        self._stack = ExitStack()
        self._supervisors: dict[str, Supervisor] = {}
        self._environment: dict[str, str] = {}
        self._lock = threading.Lock()
        self._extra = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()
        if not self.keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self._stack.enter_context(self.proxy)
        self._stack.enter_context(self.kafka)
        self._stack.enter_context(self.postgres)
        url = self.postgres.create_database("headroom")
        run_apart(lambda: topics.apply(self.settings))
        apart(lambda: upgrade(url))
        self._environment = self._environment_for(url)
        self._supervise("all", {name: name for name in PROGRAMS}, lasting=True)
        self._stack.callback(self._stop_supervisors)
        self._supervisors["all"].wait_ready(180)

    def _environment_for(self, url: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
        return inherited | {
            "HEADROOM_KAFKA__BOOTSTRAP": f"127.0.0.1:{self.kafka.proxy_port}",
            "HEADROOM_KAFKA__PARTITIONS": str(PARTITIONS),
            "HEADROOM_KAFKA__SESSION_TIMEOUT": str(SESSION_TIMEOUT),
            "HEADROOM_DATABASE_URL": url,
            "HEADROOM_BOOTSTRAP_KEY_HASH": hash_key(self.key),
            "HEADROOM_INGEST__HUBSPOT": json.dumps({"acme": CONNECTION}),
            "HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "HEADROOM_NOTIFIER__LEASE": "3",
            "HEADROOM_NOTIFIER__TIMEOUT": "2",
            "HEADROOM_CLOCK__AS_OF": AS_OF.isoformat(),
            "HEADROOM_CLOCK__SPEED": str(SPEED),
            "HEADROOM_CLOCK__STARTED": datetime.now(UTC).isoformat(),
            "PYTHONUNBUFFERED": "1",
        }

    # -- processes

    def _supervise(self, supervisor: str, names: Mapping[str, str], *, lasting: bool) -> None:
        """Start processes, each under its own name: which program it is by name."""
        ports = free_ports(len(names))
        programs = [
            Program(
                name=name,
                argv=(sys.executable, "-m", killpoints.__name__, *PROGRAMS[program]),
                port=port,
                env={
                    "HEADROOM_HTTP__HOST": "127.0.0.1",
                    "HEADROOM_HTTP__PORT": str(port),
                    killpoints.VARIABLE: str(self._kill_file(name)),
                    **({"HEADROOM_KAFKA__INSTANCE_ID": name} if lasting else {}),
                },
            )
            for (name, program), port in zip(names.items(), ports, strict=True)
        ]
        made = Supervisor(programs, logs=self.folder / "logs", environment=self._environment, cwd=ROOT)
        with self._lock:
            self._supervisors[supervisor] = made
        made.start()

    def another(self, program: str) -> str:
        """Start one more worker of a program, a passing member of its group; its name."""
        self._extra += 1
        name = f"{program}-{self._extra}"
        self._supervise(name, {name: program}, lasting=False)
        return name

    def end(self, name: str, grace: float = 15.0) -> None:
        """End a worker that ``another`` started, in order, or with ``grace`` 0 without a word."""
        if grace == 0:
            self.kill(name)
        with self._lock:
            supervisor = self._supervisors.pop(name)
        supervisor.stop(grace)

    def _stop_supervisors(self) -> None:
        for supervisor in list(self._supervisors.values()):
            supervisor.stop()

    def _owner(self, name: str) -> Supervisor:
        return self._supervisors.get(name) or self._supervisors["all"]

    def status(self, name: str) -> ProcessStatus:
        """How one process is."""
        return next(status for status in self._owner(name).status() if status.name == name)

    def url(self, name: str) -> str:
        """Where a process answers."""
        return self.status(name).url

    def not_ready(self) -> list[str]:
        """The processes that are not ready."""
        found = [status for supervisor in list(self._supervisors.values()) for status in supervisor.status()]
        return [status.name for status in found if status.state != "ready"]

    def restarts(self) -> int:
        """How often any process was started again."""
        return sum(status.restarts for status in self._supervisors["all"].status())

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process."""
        self._owner(name).kill(name, sig)

    # -- kill points

    def _kill_file(self, name: str) -> Path:
        return self.folder / f"{name}.kill"

    def arm(self, name: str, point: str, passing: int) -> None:
        """Let a process end itself at its ``passing``-th passing of a point from now on."""
        file = self._kill_file(name)
        draft = file.with_suffix(".draft")
        draft.write_text(f"{point} {passing}")
        draft.replace(file)

    def armed(self, name: str) -> bool:
        """Whether the point has not been passed yet."""
        return self._kill_file(name).exists()

    def disarm(self, name: str) -> None:
        """Let the process live."""
        self._kill_file(name).unlink(missing_ok=True)

    @property
    def now(self) -> datetime:
        """The time by the system's clock, as near as it matters here."""
        started = datetime.fromisoformat(self._environment["HEADROOM_CLOCK__STARTED"])
        return AS_OF + (datetime.now(UTC) - started) * SPEED


def weeks_ahead(number: int) -> str:
    """The ISO week so many weeks after the load's beginning."""
    year, week, _ = (AS_OF + timedelta(weeks=number)).isocalendar()
    return f"{year}-W{week:02d}"

"""The whole system on one machine: broker, database, topics, tables and every process, as one thing to start and stop.

Order of a start: data folder, broker and database, topics, tables, first API key, processes; it returns when every
process is ready. A stop goes the other way. What was temporary is gone afterwards.
"""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import headroom
from headroom import topics
from headroom.local import addresses, borrowed, servers
from headroom.local.environment import clock_environment, settings_from
from headroom.local.folders import owned, temporary_folder
from headroom.local.kafka import EmbeddedKafka
from headroom.local.keeper import Keepable, Keeper
from headroom.local.loops import apart, run_apart
from headroom.local.ports import free_ports
from headroom.local.postgres import EmbeddedPostgres
from headroom.local.processes import ProcessStatus, Program, Supervisor
from shared.access import hash_key, new_key
from shared.clock import HeldClock
from shared.db import upgrade
from shared.errors import NotReady
from shared.settings import ClockSettings, Settings

ROOT = Path(headroom.__file__).parent.parent
DATABASE = "headroom"
KEY_FILE = "bootstrap-key"
CLOCK_FILE = "clock-started"
SHARDS = 2
"""Of a system that is begun on one machine. Each shard writes transactions of its own, some twenty a second while it
has something to say, and here the same processors bear them all."""

PROGRAMS: dict[str, tuple[str, ...]] = {
    "door": ("services.ingest", "door"),
    "views": ("services.capacity", "views"),
    "notifier": ("services.notifier",),
    "normalise": ("services.ingest", "normalise"),
    "fold": ("services.capacity", "fold"),
    "project": ("services.capacity", "project"),
    "triggers": ("services.triggers",),
}
"""Every process of the system by name: its module and role. The first three serve people; they get the first ports."""


class LocalSystem:
    """Headroom on this machine; as a context manager (``with``, ``async with``) started on entry, stopped on exit.

    ``data`` is the folder to keep everything in; without it all is temporary. ``environment`` is put over this
    process's own: name a broker or a database there to use them. ``clock`` makes the system live at another time,
    which stands still until everything is ready. ``report`` is told each step of the start.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        clock: ClockSettings | None = None,
        programs: Sequence[str] = tuple(PROGRAMS),
        first_port: int | None = None,
        report: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._lasting = data is not None
        self._given = dict(environment or {})
        self._clock = clock or ClockSettings()
        self._names = tuple(programs)
        self._first_port = first_port
        self._report = report
        self._stack = ExitStack()
        self._supervisor: Supervisor | None = None
        self.data = (data or temporary_folder()).absolute()
        self.environment = {**os.environ, **self._given}
        """What the processes are started with; complete once the system has started."""
        self.api_key: str | None = None
        """The first API key, which may do everything; None when its hash was given from outside."""
        self.new_key = False
        """Whether this start made the key."""
        self.broker: servers.Broker | None = None
        self.database: servers.Database | None = None

    # -- what is where

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self.environment[servers.BOOTSTRAP]

    @property
    def database_url(self) -> str:
        """The system's database for SQLAlchemy with asyncpg."""
        return self.environment[servers.DATABASE_URL]

    @property
    def settings(self) -> Settings:
        """The settings as the processes read them."""
        return settings_from(self.environment)

    @property
    def urls(self) -> dict[str, str]:
        """The address of every process by name."""
        return {status.name: status.url for status in self.processes()}

    @property
    def door_url(self) -> str:
        """Where events and plans are sent."""
        return self.urls["door"]

    @property
    def capacity_url(self) -> str:
        """Where positions, pools and deals are asked for."""
        return self.urls["views"]

    @property
    def notifier_url(self) -> str:
        """Where subscriptions, recalibrations and decisions are."""
        return self.urls["notifier"]

    # -- life

    def start(self, timeout: float = 120.0) -> None:
        """Start everything and wait until it is ready; raises ``NotReady`` naming what is not, with its log."""
        try:
            self._stack.enter_context(owned(self.data))
            self._report("Starting Kafka")
            self._use_broker()
            self._report("Starting PostgreSQL")
            self._use_database()
            self._report("Creating topics and tables")
            self._use_shards()
            run_apart(lambda: topics.apply(self.settings.kafka))
            apart(lambda: upgrade(self.database_url))
            self._use_key()
            self._report("Starting the services")
            self._keep_servers()
            self._start_processes()
            self.wait_ready(timeout)
            self._start_clock()
        except KeyboardInterrupt:
            self.stop()
            raise
        except BaseException:
            self._stack.close()  # the folder stays for its logs, which the error may name
            raise

    def stop(self) -> None:
        """Stop everything this object started, processes first; may be called twice."""
        self._stack.close()
        if not self._lasting:
            shutil.rmtree(self.data, ignore_errors=True)

    def wait_ready(self, timeout: float = 120.0, names: Sequence[str] | None = None) -> None:
        """Wait until every process, or those named, is ready; raises ``NotReady``."""
        self._running().wait_ready(timeout, names)

    def processes(self) -> list[ProcessStatus]:
        """How every process is; empty before the services start."""
        return [] if self._supervisor is None else self._supervisor.status()

    def restarts(self, name: str) -> int:
        """How often the process was started again."""
        return next(status.restarts for status in self.processes() if status.name == name)

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process; the supervisor starts again what ends."""
        self._running().kill(name, sig)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await asyncio.to_thread(self.stop)

    # -- the steps of a start

    def _use_broker(self) -> None:
        folder = self.data / "kafka" if self._lasting else None
        self.broker = self._stack.enter_context(servers.broker(self.environment, folder))
        self.environment[servers.BOOTSTRAP] = self.broker.bootstrap
        if self._borrows(servers.BOOTSTRAP) and "HEADROOM_KAFKA__TOPIC_PREFIX" not in self.environment:
            self.environment["HEADROOM_KAFKA__TOPIC_PREFIX"] = f"local{secrets.token_hex(4)}."
            self._stack.callback(lambda: run_apart(lambda: topics.delete(self.settings.kafka)))

    def _use_shards(self) -> None:
        """As many partitions as the topics have, for that never changes."""
        if "HEADROOM_KAFKA__PARTITIONS" not in self.environment:
            found = run_apart(lambda: topics.shards(self.settings.kafka))
            self.environment["HEADROOM_KAFKA__PARTITIONS"] = str(found or SHARDS)

    def _use_database(self) -> None:
        folder = self.data / "postgres" if self._lasting else None
        self.database = self._stack.enter_context(servers.database(self.environment, folder))
        url = self.database.url
        if isinstance(self.database, EmbeddedPostgres):
            url = self.database.create_database(DATABASE)
        elif self._borrows(servers.DATABASE_URL):
            server, url = url, borrowed.create_database(url)
            self._stack.callback(borrowed.drop_database, server, url)
        self.environment[servers.DATABASE_URL] = url

    def _keep_servers(self) -> None:
        """Start a broker or a database of ours again when it ends by itself; the services wait for it meanwhile."""
        embedded: dict[str, Keepable] = {}
        if isinstance(self.broker, EmbeddedKafka):
            embedded["Kafka"] = self.broker
        if isinstance(self.database, EmbeddedPostgres):
            embedded["PostgreSQL"] = self.database
        keeper = Keeper(embedded, self._report)
        self._stack.callback(keeper.stop)
        keeper.start()

    def _borrows(self, name: str) -> bool:
        """Whether a temporary system uses a server named in our own environment: then it takes a corner of it."""
        return not self._lasting and name in os.environ and name not in self._given

    def _use_key(self) -> None:
        """The first API key: made once per data folder, in a file that only its owner reads; services get its hash."""
        if self.environment.get("HEADROOM_BOOTSTRAP_KEY_HASH"):
            return
        file = self.data / KEY_FILE
        if not file.exists():
            with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as handle:
                handle.write(new_key())
            self.new_key = True
        self.api_key = file.read_text().strip()
        self.environment["HEADROOM_BOOTSTRAP_KEY_HASH"] = hash_key(self.api_key)

    def _start_processes(self) -> None:
        start_file = self.data / CLOCK_FILE
        start_file.unlink(missing_ok=True)
        self.environment |= clock_environment(self._clock, start_file)
        ports = free_ports(len(self._names), prefer=self._first_port)
        programs = [
            Program(
                name=name,
                argv=(sys.executable, "-m", *PROGRAMS[name]),
                port=port,
                env={
                    "HEADROOM_HTTP__HOST": "127.0.0.1",
                    "HEADROOM_HTTP__PORT": str(port),
                    # A lasting name in its group: after a kill it takes its partitions back at once.
                    "HEADROOM_KAFKA__INSTANCE_ID": name,
                    "PYTHONUNBUFFERED": "1",
                },
            )
            for name, port in zip(self._names, ports, strict=True)
        ]
        addresses.write(self.data, self.environment, {program.name: program.url for program in programs})
        supervisor = Supervisor(programs, logs=self.data / "logs", environment=self.environment, cwd=ROOT)
        self._stack.callback(supervisor.stop)
        self._supervisor = supervisor
        supervisor.start()

    def _start_clock(self) -> None:
        """Let a virtual time that stood still during the start pass from now on."""
        if self._clock.as_of is not None and self._clock.started is None:
            HeldClock(self._clock.as_of, self._clock.speed, self.data / CLOCK_FILE).start(datetime.now(UTC))

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise NotReady("the system has not been started")
        return self._supervisor

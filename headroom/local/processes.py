"""A supervisor of child processes: starts them, starts again what dies, asks each whether it is ready, stops all.

Two threads: one sees deaths within a tenth of a second and starts again after a back-off; one asks ``/readyz``. A
process that keeps dying is never given up while the supervisor runs, but waiting for it ends early, with the end of its
log. The back-off grows only for a process that dies before it was ready.
"""

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headroom.local.children import spawn, tail
from shared.errors import NotReady

LOOK_EVERY = 0.1
ASK_EVERY = 0.25
ASK_EVERY_WHEN_READY = 1.0
FIRST_BACK_OFF = 0.2
LONGEST_BACK_OFF = 10.0
HOPELESS_AFTER = 5
LARGEST_LOG = 20 * 1024 * 1024

State = Literal["starting", "ready", "not ready", "waiting", "stopped"]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a name, a command line, its own environment, and the port where it answers ``/readyz``."""

    name: str
    argv: Sequence[str]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How a process is at this moment; ``reasons`` says why it is not ready, in its own words."""

    name: str
    pid: int | None
    url: str
    state: State
    restarts: int
    reasons: tuple[str, ...]
    last_exit: int | None
    log: Path


class _Process:
    """One program's life; only the supervisor touches it, under its lock."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.child: subprocess.Popen[bytes] | None = None
        self.next_start = 0.0
        self.restarts = 0
        self.deaths_in_a_row = 0
        self.last_exit: int | None = None
        self.ever_ready = False
        self.child_ready = False  # whether the present child has been ready
        self.reasons: tuple[str, ...] | None = None  # None: not known for this child; empty: ready
        self.ending = False

    def back_off(self) -> float:
        return min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (self.deaths_in_a_row - 1))

    def state(self, stopping: bool) -> State:
        if self.child is None:
            return "stopped" if stopping else "waiting"
        if self.reasons is None:
            return "starting"
        if self.reasons:
            return "not ready" if self.child_ready else "starting"
        return "ready"


class Supervisor:
    """Runs programs until it is stopped; safe to use from several threads.

    ``logs`` gets one file per program, appended to. ``environment`` is what each starts from.
    """

    def __init__(self, programs: Sequence[Program], *, logs: Path, environment: Mapping[str, str], cwd: Path) -> None:
        self._environment = dict(environment)
        self._cwd = cwd
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._processes = {p.name: _Process(p, logs / f"{p.name}.log") for p in programs}
        self._threads: list[threading.Thread] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start every program; returns at once, ``wait_ready`` waits."""
        with self._lock:
            for process in self._processes.values():
                if process.log.exists() and process.log.stat().st_size > LARGEST_LOG:
                    process.log.replace(process.log.with_suffix(".log.1"))
                self._start(process)
        for work in (self._watch, self._ask):
            thread = threading.Thread(target=work, name=f"supervisor{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, grace: float = 10.0) -> None:
        """Ask all to end (SIGTERM), kill after ``grace`` seconds what has not; returns when none is left."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        with self._lock:
            children = [p.child for p in self._processes.values() if p.child is not None]
            for child in children:
                child.send_signal(signal.SIGCONT)
                child.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + grace
            for child in children:
                try:
                    child.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            for process in self._processes.values():
                process.child = None

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process. After one that ends it, the process is not ready until it was started again."""
        with self._lock:
            process = self._processes[name]
            if process.child is None:
                return
            process.child.send_signal(sig)
            if sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
                process.ending = True
                process.reasons = ("it was told to end",)

    def status(self) -> list[ProcessStatus]:
        """How every process is now, in the programs' order."""
        with self._lock:
            return [
                ProcessStatus(
                    name=process.program.name,
                    pid=process.child.pid if process.child else None,
                    url=process.program.url,
                    state=process.state(self._stopping.is_set()),
                    restarts=process.restarts,
                    reasons=process.reasons or (),
                    last_exit=process.last_exit,
                    log=process.log,
                )
                for process in self._processes.values()
            ]

    def wait_ready(self, timeout: float = 90.0, names: Sequence[str] | None = None) -> None:
        """Wait until all, or those named, are ready.

        Raises ``NotReady`` after ``timeout`` seconds, or earlier when one has died again and again without ever having
        been ready; it names who is not ready, why, and the end of its log.
        """
        deadline = time.monotonic() + timeout
        while waiting := [s for s in self.status() if s.state != "ready" and (names is None or s.name in names)]:
            hopeless = [s for s in waiting if self._is_hopeless(s.name)]
            if hopeless or time.monotonic() > deadline:
                raise _not_ready((hopeless or waiting)[0], [s.name for s in waiting], timeout)
            time.sleep(LOOK_EVERY)

    def _is_hopeless(self, name: str) -> bool:
        with self._lock:
            process = self._processes[name]
            return process.deaths_in_a_row >= HOPELESS_AFTER and not process.ever_ready

    def _start(self, process: _Process) -> None:
        process.child = spawn(
            process.program.argv,
            log=process.log,
            env={**self._environment, **process.program.env},
            cwd=self._cwd,
        )
        process.child_ready = False
        process.reasons = None
        process.ending = False

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            with self._lock:
                for process in self._processes.values():
                    self._look_after(process)

    def _look_after(self, process: _Process) -> None:
        """Note a death, and start again when the back-off is over."""
        now = time.monotonic()
        if process.child is not None and process.child.poll() is not None:
            process.deaths_in_a_row = 1 if process.child_ready else process.deaths_in_a_row + 1
            process.last_exit = process.child.returncode
            process.child = None
            process.reasons = None
            process.next_start = now + process.back_off()
        if process.child is None and now >= process.next_start:
            process.restarts += 1
            self._start(process)

    def _ask(self) -> None:
        with ThreadPoolExecutor(len(self._processes) or 1, thread_name_prefix="asks-ready") as pool:
            pause = ASK_EVERY
            while not self._stopping.wait(pause):
                with self._lock:
                    asked = [(p, p.child) for p in self._processes.values() if p.child is not None and not p.ending]
                answers = pool.map(lambda pair: reasons_not_ready(pair[0].program.port), asked)
                with self._lock:
                    for (process, child), reasons in zip(asked, answers, strict=True):
                        if process.child is child and not process.ending:
                            process.reasons = reasons
                            process.child_ready = process.child_ready or not reasons
                            process.ever_ready = process.ever_ready or not reasons
                    all_ready = all(p.reasons == () for p in self._processes.values())
                pause = ASK_EVERY_WHEN_READY if all_ready else ASK_EVERY


def reasons_not_ready(port: int, timeout: float = 2.0) -> tuple[str, ...]:
    """What ``/readyz`` on the port says against being ready; empty when it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(65_536)
    except TimeoutError:
        return (f"it takes connections but does not answer within {timeout:.0f} s",)
    except (OSError, http.client.HTTPException):
        return ("it does not take connections yet",)
    finally:
        connection.close()
    if answer.status == 200:
        return ()
    try:
        reasons = json.loads(body)["reasons"]
        return tuple(str(reason) for reason in reasons) or (f"it answers {answer.status}",)
    except (ValueError, KeyError, TypeError):
        return (f"it answers {answer.status}",)


def _not_ready(worst: ProcessStatus, waiting: Sequence[str], timeout: float) -> NotReady:
    if worst.last_exit is not None and worst.state != "not ready":
        what = f"{worst.name} keeps ending (exit code {worst.last_exit}, started again {worst.restarts} times)"
    else:
        what = f"{', '.join(waiting)} not ready within {timeout:.0f} s"
    why = "; ".join(worst.reasons)
    log = tail(worst.log, 12)
    return NotReady(
        what,
        where=str(worst.log),
        why=os.linesep.join(part for part in (why, log) if part) or "its log is empty",
        do="The end of the log above says what is wrong; the whole of it is in that file",
    )

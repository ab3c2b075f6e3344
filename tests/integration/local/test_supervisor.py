"""The supervisor on real processes: starts again what dies, tells who is ready, leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headroom.local.ports import free_ports
from headroom.local.processes import Program, Supervisor
from shared.errors import NotReady
from tests.waiting import eventually_sync

SERVICE = Path(__file__).with_name("answering.py")
ROOT = Path(__file__).parents[3]


def program(name: str, argument: str) -> Program:
    port = free_ports(1)[0]
    return Program(name, (sys.executable, str(SERVICE), argument), port, env={"HEADROOM_HTTP__PORT": str(port)})


def supervise(logs: Path, *programs: Program) -> Supervisor:
    return Supervisor(programs, logs=logs, environment=os.environ, cwd=ROOT)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Supervisor]:
    """Two processes, both ready."""
    supervisor = supervise(tmp_path / "logs", program("one", "ready"), program("two", "ready"))
    supervisor.start()
    try:
        supervisor.wait_ready(30)
        yield supervisor
    finally:
        supervisor.stop()


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {status.name: status.pid for status in supervisor.status()}


def test_a_killed_process_is_started_again_and_counted(pair: Supervisor) -> None:
    before = pids(pair)
    pair.kill("one", signal.SIGKILL)
    assert pair.status()[0].state != "ready"
    pair.wait_ready(30)
    one, two = pair.status()
    assert one.pid != before["one"]
    assert (one.restarts, one.last_exit) == (1, -signal.SIGKILL)
    assert (two.pid, two.restarts) == (before["two"], 0)
    assert one.log.read_text().count("started") == 2


def test_a_stopped_process_is_not_ready_and_recovers(pair: Supervisor) -> None:
    pair.kill("one", signal.SIGSTOP)
    stalled = eventually_sync(
        lambda: next((s for s in pair.status() if s.state == "not ready"), None), what="not ready"
    )
    assert "does not answer" in stalled.reasons[0]
    pair.kill("one", signal.SIGCONT)
    pair.wait_ready(30)
    assert pair.status()[0].restarts == 0


def test_a_clean_stop_leaves_no_process_even_a_stopped_one(pair: Supervisor) -> None:
    pair.kill("two", signal.SIGSTOP)
    running = [psutil.Process(pid) for pid in pids(pair).values() if pid is not None]
    pair.stop()
    assert len(running) == 2
    assert not any(process.is_running() for process in running)
    assert [status.state for status in pair.status()] == ["stopped", "stopped"]


def test_readiness_is_awaited_with_the_processs_own_reasons(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    supervisor = supervise(tmp_path / "logs", program("one", "ready"), program("late", str(gate)))
    supervisor.start()
    try:
        with pytest.raises(NotReady, match="late not ready within 2 s") as refusal:
            supervisor.wait_ready(2)
        assert "waiting for a file" in str(refusal.value)
        supervisor.wait_ready(30, names=["one"])
        gate.touch()
        supervisor.wait_ready(30)
    finally:
        supervisor.stop()


def test_waiting_for_a_process_that_cannot_live_ends_with_the_end_of_its_log(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path / "logs", program("broken", "dies"))
    supervisor.start()
    try:
        with pytest.raises(NotReady, match="broken keeps ending") as refusal:
            supervisor.wait_ready(60)
        assert "it cannot live" in str(refusal.value)
    finally:
        supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """Started from a thread that has ended since: the leash must hold on the process, not on that thread."""
    script = f"""
import os, sys, threading, time
from pathlib import Path
from tests.integration.local.test_supervisor import program, supervise
supervisor = supervise(Path({str(tmp_path)!r}), program("one", "ready"), program("two", "ready"))
starting = threading.Thread(target=supervisor.start)
starting.start()
starting.join()
supervisor.wait_ready(30)
print(*[s.pid for s in supervisor.status()], flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    assert all(child.is_running() for child in children)
    parent.kill()
    parent.wait()
    eventually_sync(lambda: not any(_lives(child) for child in children), what="all children have ended")


def _lives(process: psutil.Process) -> bool:
    """A zombie nobody has collected yet does not live."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

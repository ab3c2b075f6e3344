"""Child processes on a leash: each leads a session of its own and none outlives this process.

A session of its own keeps the terminal's Ctrl-C from reaching a child before its turn to stop has come. The leash is
Linux's parent-death signal: the kernel sends it when the *thread* that started the child ends, so all children are
started from one thread that lives as long as this process does. Other systems have no such signal; there a supervisor
ended by ``kill -9`` leaves its children behind.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PR_SET_PDEATHSIG = 1

# The C library is looked up here, not between fork and exec, where hardly anything may be done.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_starter: ThreadPoolExecutor | None = None


def _forget_starter() -> None:
    """A forked child has no starter thread; it makes its own when it needs one."""
    global _starter
    _starter = None


os.register_at_fork(after_in_child=_forget_starter)


def _leash(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    def tie() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # the parent died before the leash was on
                os._exit(1)

    return tie


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
    group: int | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a child whose output is appended to ``log`` and which is sent ``death_signal`` when this process dies."""

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                start_new_session=True,
                preexec_fn=_leash(os.getpid(), death_signal),  # noqa: PLW1509 — only a bound C function is called
            )

    global _starter
    if _starter is None:
        _starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starts-children")
    return _starter.submit(start).result()


def stop(child: subprocess.Popen[bytes], *, grace: float, ask: signal.Signals = signal.SIGTERM) -> int:
    """Ask a child to end and, when ``grace`` seconds have not been enough, kill it; returns its exit code.

    A stopped (SIGSTOP) child is continued first, or it could not hear the request.
    """
    if child.poll() is None:
        child.send_signal(signal.SIGCONT)
        child.send_signal(ask)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message, without Java's stack frames; empty when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    told = [line for line in text.rstrip().splitlines() if not line.lstrip().startswith(("at ", "... "))]
    return "\n".join(told[-lines:])

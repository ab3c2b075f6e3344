"""In which loop a process runs, and that it is told to stop."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal, sys
from shared import process
from shared.settings import KafkaSettings

async def work(stop):
    print(type(asyncio.get_running_loop()).__module__.split(".")[0])
    print(type(asyncio.new_event_loop()).__module__.split(".")[0])
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
    await asyncio.wait_for(stop.wait(), 10)

process.run(work, KafkaSettings(security_protocol=sys.argv[1]))
"""


@pytest.mark.parametrize("told", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    ("protocol", "loop"),
    [("PLAINTEXT", "uvloop"), ("SASL_PLAINTEXT", "uvloop"), ("SSL", "asyncio"), ("SASL_SSL", "asyncio")],
)
def test_loop_and_stop(protocol: str, loop: str, told: str) -> None:
    """Threads make loops of the same kind; with TLS uvloop leaves connections open that were closed."""
    said = subprocess.run([sys.executable, "-c", PROGRAM, protocol, told], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout.split()) == (0, [loop, loop]), said.stderr

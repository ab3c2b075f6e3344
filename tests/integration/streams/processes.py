"""Worker processes that a test may kill and stall."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.settings import KafkaSettings

ROOT = Path(__file__).parents[3]
WORKER = "tests.integration.streams.worker"


class Worker:
    """One process that runs the counting role; what it says and logs is kept in files."""

    def __init__(self, kafka: KafkaSettings, name: str, folder: Path, instance: str) -> None:
        self.out = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", WORKER, kafka.bootstrap, kafka.topic_prefix, name, instance],
                cwd=ROOT,
                stdout=out,
                stderr=log,
            )

    def said(self, words: str) -> int:
        """How many of its lines begin with ``words``."""
        return sum(line.startswith(words) for line in self.out.read_text().splitlines())

    @property
    def dead(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stall(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.terminate()


@contextmanager
def workers(kafka: KafkaSettings) -> Iterator["Starter"]:
    """Gives ``start(name)``; ends every process it started."""
    with tempfile.TemporaryDirectory() as folder:
        starter = Starter(kafka, Path(folder))
        try:
            yield starter
        finally:
            for worker in starter.started:
                worker.kill()


class Starter:
    def __init__(self, kafka: KafkaSettings, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.started: list[Worker] = []

    def __call__(self, name: str, instance: str = "") -> Worker:
        self.started.append(Worker(self.kafka, name, self.folder, instance))
        return self.started[-1]

"""The peer Quix Streams: reads the deals with state and aggregates nothing, in an environment of its own.

``python fold.py BOOTSTRAP TOPIC LIMIT GROUP``. Each deal is decoded as the product decodes it, compared with the state
that is known of it and put in that state, which Quix keeps in RocksDB with a changelog topic, as it does by default.
Nothing of this project is imported: Quix Streams and the project ask for packages that exclude each other. Prints one
JSON object: events, seconds from the first event to the last, and seconds of CPU in between.
"""

import json
import sys
import tempfile
from time import perf_counter, process_time
from typing import Any

import msgspec
from quixstreams import Application


class Line(msgspec.Struct, gc=False):
    """What a fold would read of a line."""

    product: str
    quantity: float | None = None
    amount: float | None = None
    list_amount: float | None = None
    arr: float | None = None
    segment: str | None = None
    custom: bool | None = None
    type: str | None = None
    probability: float | None = None


class Deal(msgspec.Struct):
    """What a fold would read of a deal."""

    time: int = 0
    deleted: bool = False
    stage: str | None = None
    close: str | None = None
    amount: float | None = None
    currency: str | None = None
    rate: float | None = None
    segment: str = ""
    type: str = "new"
    custom: bool = False
    probability: float | None = None
    lines: list[Line] = []


_decode = msgspec.json.Decoder(Deal).decode


class Run:
    """Counts and times the events, and stops the application after the last."""

    def __init__(self, limit: int) -> None:
        self.limit, self.events = limit, 0
        self.started = self.worked = 0.0
        self.seconds = self.cpu = 0.0

    def remember(self, value: bytes, state: Any) -> None:
        """One event."""
        if self.events == 0:
            self.started, self.worked = perf_counter(), process_time()
        self.events += 1
        deal = _decode(value)
        known = state.get("deal")
        if known is None or known[0] <= deal.time:
            state.set("deal", [deal.time, deal.stage, deal.close])
        if self.events == self.limit:
            self.seconds, self.cpu = perf_counter() - self.started, process_time() - self.worked


def main(bootstrap: str, topic: str, limit: int, group: str) -> None:
    """Run until ``limit`` events are processed."""
    run = Run(limit)
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=group,
            auto_offset_reset="earliest",
            commit_interval=1.0,
            state_dir=folder,
            loglevel="ERROR",
        )
        deals = app.topic(topic, key_deserializer="bytes", value_deserializer="bytes")
        frame = app.dataframe(deals)
        frame.update(run.remember, stateful=True)
        app.run(count=limit, timeout=60.0)
    print(json.dumps({"events": run.events, "seconds": run.seconds, "cpu": run.cpu}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

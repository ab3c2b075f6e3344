"""What a process says of itself: lines that machines read, with the trace and the reason, and without secrets."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from services.ingest.settings import IngestSettings
from shared import tracing
from shared.errors import ConfigurationError
from shared.observed import Readiness
from shared.settings import KafkaSettings, Settings, TracingSettings
from shared.telemetry import READY, configure_logging, shown

CANARY = "canary-7fd1"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where the log goes while a test runs."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    configure_logging(Settings(log_level="debug"), "fold")
    said = io.StringIO()
    assert isinstance(root.handlers[0], logging.StreamHandler)
    root.handlers[0].setStream(said)
    yield said
    root.handlers[:] = kept
    root.setLevel(level)
    structlog.reset_defaults()


def read(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_is_json_with_process_level_and_time(lines: io.StringIO) -> None:
    structlog.get_logger("somewhere").info("restored", shard=3)
    (line,) = read(lines)
    assert line.pop("timestamp")
    assert line == {"event": "restored", "shard": 3, "process": "fold", "level": "info", "logger": "somewhere"}


def test_lines_of_libraries_and_their_threads_have_the_process_too(lines: io.StringIO) -> None:
    thread = threading.Thread(target=lambda: logging.getLogger("aiokafka").warning("away: %s", "broker"))
    thread.start()
    thread.join()
    (line,) = read(lines)
    assert (line["event"], line["process"], line["level"]) == ("away: broker", "fold", "warning")


def test_an_error_carries_its_traceback(lines: io.StringIO) -> None:
    try:
        raise ValueError("on purpose")
    except ValueError as error:
        logging.getLogger("a").critical("ending the process", exc_info=error)
    (line,) = read(lines)
    assert "Traceback" in str(line["exception"])
    assert "ValueError: on purpose" in str(line["exception"])


def test_a_line_inside_a_span_names_its_trace(lines: io.StringIO) -> None:
    tracing.use(TracerProvider())
    try:
        with tracing.span("deliver", b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"):
            structlog.get_logger("a").info("inside")
        structlog.get_logger("a").info("outside")
    finally:
        tracing.use(None)
    inside, outside = read(lines)
    assert inside["trace_id"] == "ab" * 16
    assert len(str(inside["span_id"])) == 16
    assert "trace_id" not in outside


def test_settings_are_shown_without_what_is_secret() -> None:
    connection = {"secrets": [CANARY], "uri": "https://hooks.example.com/x"}
    settings = IngestSettings.model_validate(
        {
            "ingest": {"hubspot": {"acme": connection}},
            "kafka": {"bootstrap": "broker:9092", "sasl_password": CANARY},
            "database_url": f"postgresql+asyncpg://headroom:{CANARY}@db/headroom",
            "bootstrap_key_hash": CANARY,
        }
    )
    told = shown(settings)
    assert CANARY not in json.dumps(told)
    assert told["kafka"]["bootstrap"] == "broker:9092"
    assert told["database_url"] == "postgresql+asyncpg://headroom:***@db/headroom"
    assert shown(Settings(database_url=f"{CANARY} is no address"))["database_url"] == "cannot be read"


def test_what_was_not_set_is_not_shown() -> None:
    told = shown(Settings(kafka=KafkaSettings(partitions=4)))
    assert told["kafka"]["partitions"] == 4
    assert not {"sasl_password", "session_timeout"} & told["kafka"].keys()
    assert "clock" not in told


def test_readiness_is_a_series_and_its_changes_are_lines(lines: io.StringIO) -> None:
    reasons = ["the deals are not read yet"]
    readiness = Readiness(lambda: reasons)
    for _ in range(3):
        assert readiness.reasons() == ["the deals are not read yet"]
    assert READY.collect()[0].samples[0].value == 0
    reasons.clear()
    assert readiness.reasons() == []
    assert READY.collect()[0].samples[0].value == 1
    assert [(line["event"], line.get("reasons")) for line in read(lines)] == [
        ("not ready", ["the deals are not read yet"]),
        ("ready", None),
    ]


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"headroom\[otlp\]"):
        tracing.configure_tracing(TracingSettings(exporter="otlp"), "fold")
    assert tracing.current() is None

"""Structured logs and what every process says of itself."""

import logging
import platform
import sys
from importlib.metadata import version
from typing import Any

import structlog
from opentelemetry import trace as otel
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram, Info, disable_created_metrics
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from shared.settings import Settings
from shared.tracing import configure_tracing

READY = Gauge("headroom_ready", "1 while the process does its work, as /readyz says.")
HTTP_SECONDS = Histogram(
    "headroom_http_request_seconds",
    "From an HTTP request's arrival until its answer begins, by the template of its route.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)

log = structlog.get_logger(__name__)


def start(settings: Settings, process: str) -> None:
    """Begin to log, to count and to trace as ``process``, and say so: version and settings, secrets left out."""
    configure_logging(settings, process)
    # When a series began tells nobody anything here and would double what is scraped.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    publish_build_info(process)
    configure_tracing(settings.tracing, process)
    log.info("starting", version=version("headroom"), python=platform.python_version(), settings=shown(settings))


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as they may be seen by everybody: what is not set, secret or a password is left out."""
    # Secret fields show as asterisks; a URL may hold a password, and a hash could be guessed at.
    told = settings.model_dump(mode="json", exclude_unset=True, exclude={"bootstrap_key_hash"})
    if "database_url" in told:
        try:
            told["database_url"] = make_url(settings.database_url).render_as_string(hide_password=True)
        except ArgumentError:
            told["database_url"] = "cannot be read"
    return told


def configure_logging(settings: Settings, process: str) -> None:
    """Send every log line, the libraries' included, to standard error: JSON, or coloured text for a person.

    Each has the time (UTC), level, logger, process and, inside a request or a span, the trace's id; an error has its
    traceback.
    """

    def add_process(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # Not a context variable: the threads of libraries have contexts of their own.
        event["process"] = process
        return event

    stamped: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_process,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=stamped
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("aiokafka", "faust", "mode", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *stamped, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The span under way, so that a line is found from its trace and the trace from its line."""
    context = otel.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return event


def publish_build_info(process: str, registry: CollectorRegistry = REGISTRY) -> None:
    """The series ``headroom_build_info``: version, Python, process."""
    info = Info("headroom_build", "Version of Headroom and of Python, by process.", registry=registry)
    info.info({"version": version("headroom"), "python": platform.python_version(), "process": process})

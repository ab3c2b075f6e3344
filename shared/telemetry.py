"""Structured logs and what every process says of itself."""

import logging
import platform
import sys
from importlib.metadata import version

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Info

from shared.settings import Settings


def configure_logging(settings: Settings, process: str) -> None:
    """Send every log line, the libraries' included, to standard error: JSON, or coloured text for a person."""
    stamped: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
    for noisy in ("aiokafka", "faust", "mode", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *stamped, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def publish_build_info(process: str, registry: CollectorRegistry = REGISTRY) -> None:
    """The series ``headroom_build_info``: version, Python, process."""
    info = Info("headroom_build", "Version of Headroom and of Python, by process.", registry=registry)
    info.info({"version": version("headroom"), "python": platform.python_version(), "process": process})

"""Spans, where a process can afford them, of the trace that ``shared.schemas.trace`` carries.

Off by default: the trace of a request is then handed on unchanged and no span is made. On, there is one span for each
HTTP request, each flush, each batch of a sink and each attempt at a delivery; never one for a record. A flush or batch
that holds several traces is a child of the newest of them and linked to the others. All spans below the door's are
children of the door's span, ordered by time.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry import trace as otel
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.errors import ConfigurationError
from shared.schemas.trace import Carrier, traces_of
from shared.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_w3c = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


def configure_tracing(tracing: TracingSettings, process: str) -> None:
    """Make and send spans as the settings say; with the exporter ``none`` do nothing.

    Raises ``ConfigurationError`` when what the exporter needs is not installed.
    """
    if tracing.exporter == "none":
        return
    # Imported only here: a process that makes no spans should not pay for the package.
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    named = {"service.name": f"headroom-{process}", "service.version": version("headroom")}
    provider = TracerProvider(
        resource=Resource.create(named), sampler=ParentBased(TraceIdRatioBased(tracing.sample_ratio))
    )
    provider.add_span_processor(BatchSpanProcessor(_exporter(tracing)))
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Make spans with ``provider`` from now on; None makes none."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("headroom")


def _exporter(tracing: TracingSettings) -> "SpanExporter":
    if tracing.exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigurationError(
            "spans cannot be sent over OTLP",
            where="HEADROOM_TRACING__EXPORTER",
            why="the exporter is not installed",
            do="Install headroom[otlp], or set it to none",
        ) from error
    return OTLPSpanExporter(endpoint=tracing.endpoint)


def current() -> bytes | None:
    """The ``traceparent`` of the span under way, None when there is none."""
    if _tracer is None:
        return None
    context = otel.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()


def span(
    name: str,
    parent: bytes | None,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[bytes] = (),
    **attributes: str | int,
) -> "AbstractContextManager[otel.Span | None]":
    """A span around a block, in the trace of ``parent`` or in a new one; None inside when tracing is off."""
    return nullcontext() if _tracer is None else _open(_tracer, name, parent, kind, links, attributes)


def batch_span(name: str, records: Sequence[Carrier], **attributes: str | int) -> AbstractContextManager[object]:
    """A span around the handling of ``records`` together, if any of the last of them is traced; else none."""
    if _tracer is None:
        return nullcontext()
    traces = traces_of(records)
    if not traces:
        return nullcontext()
    return _open(_tracer, name, traces[0], SpanKind.INTERNAL, traces[1:], {"records": len(records), **attributes})


@contextmanager
def _open(
    tracer: Tracer,
    name: str,
    parent: bytes | None,
    kind: SpanKind,
    links: Sequence[bytes],
    attributes: dict[str, str | int],
) -> Iterator[otel.Span]:
    context = _w3c.extract({"traceparent": parent.decode()}) if parent else None
    linked = [Link(_span_context(link)) for link in links]
    with tracer.start_as_current_span(
        name, context, kind, attributes, linked, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except Exception as error:
            # The kind only: messages may hold what must not leave the house.
            failed(made, type(error).__name__)
            raise


def _span_context(traceparent: bytes) -> otel.SpanContext:
    return otel.get_current_span(_w3c.extract({"traceparent": traceparent.decode()})).get_span_context()


def failed(made: "otel.Span | None", why: str) -> None:
    """Mark a span as failed."""
    if made is not None:
        made.set_status(Status(StatusCode.ERROR, why))

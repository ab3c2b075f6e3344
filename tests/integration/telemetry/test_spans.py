"""How many spans a stop makes: one for a flush, never one for a record, and none when tracing is off."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from shared import tracing
from shared.schemas.envelope import headers
from shared.schemas.trace import LOOK
from shared.streams.shards import Outgoing
from shared.topics import DEALS

TRACES = [f"00-{number:032x}-{number:016x}-01".encode() for number in range(1, 10_001)]


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


def flushed(count: int) -> list[Outgoing]:
    return [
        Outgoing(DEALS, 0, b"k", b"v", headers("t", str(n), "s", None, trace)) for n, trace in enumerate(TRACES[:count])
    ]


def test_a_flush_of_many_traced_records_is_one_span_linked_to_some_of_them(spans: InMemorySpanExporter) -> None:
    with tracing.batch_span("normalise flush", flushed(10_000), shard=3):
        pass
    (made,) = spans.get_finished_spans()
    assert made.context is not None
    assert made.context.trace_id == 10_000, "the newest goes on"
    assert [link.context.trace_id for link in made.links] == list(range(9_999, 10_000 - LOOK, -1))
    assert dict(made.attributes or {}) == {"records": 10_000, "shard": 3}


def test_a_flush_without_a_trace_makes_no_span(spans: InMemorySpanExporter) -> None:
    with tracing.batch_span("fold flush", [Outgoing(DEALS, 0, b"k", b"v", headers("t", "1", "s"))]):
        assert tracing.current() is None
    assert spans.get_finished_spans() == ()


def test_a_span_is_handed_on_as_the_parent_of_what_follows(spans: InMemorySpanExporter) -> None:
    with tracing.span("deliver", TRACES[0], SpanKind.CLIENT):
        handed_on = tracing.current()
    (made,) = spans.get_finished_spans()
    assert made.context is not None
    assert handed_on == f"00-{1:032x}-{made.context.span_id:016x}-01".encode()
    assert made.parent is not None
    assert made.parent.span_id == 1


def test_a_failure_shows_its_kind_and_not_its_words(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="canary"), tracing.span("deliver", None):
        raise ValueError("canary")
    (made,) = spans.get_finished_spans()
    assert made.status.description == "ValueError"
    assert made.events == ()


def test_when_tracing_is_off_nothing_is_looked_at() -> None:
    class Untouched(list[Outgoing]):
        def __getitem__(self, index: object) -> object:  # type: ignore[override]
            raise AssertionError("a record was looked at")

    with tracing.batch_span("fold flush", Untouched(flushed(3))):
        assert tracing.current() is None
    with tracing.span("deliver", TRACES[0]) as made:
        assert made is None
        assert tracing.current() is None

"""A collector of spans (OTLP over HTTP) and a receiver of webhooks that shows the headers it was sent."""

from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """One span as it was sent; ids in hexadecimal."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]


@dataclass
class Collector:
    """Listens on loopback from entering to leaving; ``sent`` is all that came to it, whole and readable."""

    sent: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    webhooks: list[dict[str, str]] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _base: str = ""

    @property
    def traces_url(self) -> str:
        return f"{self._base}/v1/traces"

    @property
    def webhook_url(self) -> str:
        return f"{self._base}/hook"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        self.sent.append(str(sent))
        for resource in sent.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        named["service.name"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple(link.trace_id.hex() for link in span.links),
                    )
                    for span in scope.spans
                ]
        return web.Response(content_type="application/x-protobuf")

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        self.webhooks.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=204)

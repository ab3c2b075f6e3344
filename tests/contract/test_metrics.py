"""What is measured: declared in one place per service, named as Prometheus asks, served where it should be, listed."""

import ast
import re
from collections import Counter
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message

import services.capacity.metrics
import services.ingest.metrics
import services.notifier.metrics
import services.triggers.metrics
import shared.streams.metrics
from services.capacity.app import FoldProcess, ProjectProcess
from services.capacity.settings import CapacitySettings
from services.capacity.views_app import ViewsProcess
from services.ingest.app import create_door, create_normaliser_app
from services.ingest.settings import IngestSettings
from services.notifier.app import create_app as create_notifier
from services.notifier.settings import NotifierSettings
from services.triggers.app import create_app as create_triggers
from services.triggers.settings import TriggersSettings
from shared.observed import Observed
from shared.streams.health import Health
from shared.telemetry import HTTP_SECONDS, publish_build_info
from tests.contract import declared as declarations

DECLARED = declarations.declared()
NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
UNITS = ("seconds", "bytes", "ratio", "records", "total", "info")
# Counts of things, whose unit is the thing.
COUNTED = re.compile(
    r"_(ready|deals|cells|overloaded|in_force|unreadable|away|up|held|rejected|active|pending|late|subscriptions|relaying"
    r"|clients)$"
)


def test_no_series_is_made_outside_of_the_places_for_it() -> None:
    made = {
        str(path.relative_to(declarations.ROOT))
        for path in declarations.sources()
        if any(declarations.constructions(ast.parse(path.read_text())))
    }
    assert made == set(declarations.PLACES)


@pytest.mark.parametrize(
    "source",
    [
        "from prometheus_client import Gauge as G\nG('a', 'b')",
        "import prometheus_client\nprometheus_client.Counter('a', 'b')",
        "import prometheus_client as p\np.metrics.Histogram('a', 'b')",
        "from prometheus_client import metrics\nmetrics.Summary('a', 'b')",
    ],
)
def test_the_search_finds_series_however_they_are_made(source: str) -> None:
    assert len(list(declarations.constructions(ast.parse(source)))) == 1


def test_other_counters_are_no_series() -> None:
    assert not list(declarations.constructions(ast.parse("from collections import Counter\nCounter('ab')")))


@pytest.mark.parametrize("series", DECLARED, ids=lambda series: series.name)
def test_series_are_named_and_explained_as_prometheus_asks(series: declarations.Series) -> None:
    assert re.fullmatch(r"headroom_[a-z0-9_]+", series.name)
    assert (series.kind == "counter") == series.name.endswith("_total")
    assert series.name.endswith(UNITS) or COUNTED.search(series.name), "the name ends in no unit"
    assert series.help.endswith("."), "the help text is a sentence"
    assert len(series.help) > 15
    assert not set(series.labels) & {"le", "quantile", "job", "instance"}
    assert not any(label in series.name.split("_") for label in series.labels if label not in ("kind", "state"))


def test_no_name_is_declared_twice() -> None:
    names = [series.name for series in DECLARED]
    assert sorted(names) == sorted(set(names))


def test_the_table_of_series_is_fresh() -> None:
    assert declarations.TABLE.read_text() == declarations.table(), "run: python -m tests.contract.declared"


# -- what the processes serve


def apps() -> dict[str, tuple[ASGIApp, list[str]]]:
    """Each process's application, unconnected, and the registries whose series it should serve."""
    ingest, capacity = IngestSettings(database_url=NOWHERE), CapacitySettings(database_url=NOWHERE)
    notifier = create_notifier(NotifierSettings(database_url=NOWHERE))
    return {
        "door": (create_door(ingest), ["door_series"]),
        "normalise": (create_normaliser_app(Health()), ["normalise_series", "stream_series"]),
        "fold": (FoldProcess(capacity).app, ["fold_series", "stream_series"]),
        "project": (ProjectProcess(capacity).app, ["project_series", "stream_series"]),
        "views": (ViewsProcess(capacity).app, ["views_series", "stream_series"]),
        "triggers": (create_triggers(TriggersSettings()).app, ["trigger_series", "stream_series"]),
        "notifier": (notifier.api, ["notifier_series", "stream_series"]),
    }


@pytest.fixture(scope="module", autouse=True)
def build_info() -> None:
    publish_build_info("tests")


@pytest.fixture(scope="module")
def every_app() -> dict[str, tuple[ASGIApp, list[str]]]:
    return apps()


PROCESSES = ("door", "normalise", "fold", "project", "views", "triggers", "notifier")


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_process_serves_all_it_declares_and_nothing_else(
    process: str, every_app: dict[str, tuple[ASGIApp, list[str]]]
) -> None:
    app, registries = every_app[process]
    status, text = await get(app, "/metrics")
    assert status == 200
    served = set(re.findall(r"^# TYPE (headroom_\S+) ", text, re.MULTILINE))
    expected = {series.name for series in DECLARED if series.registry in ("", *registries)}
    assert {name for name in served if not name.endswith("_created")} == expected
    assert "\nheadroom_ready 0.0\n" in text
    assert re.search(r"^headroom_build_info\{", text, re.MULTILINE)
    for series in DECLARED:
        if series.name in served:
            assert f"# HELP {series.name} {series.help}\n" in text


def test_every_registry_is_one_of_the_declared() -> None:
    modules = (
        services.ingest.metrics,
        services.capacity.metrics,
        services.triggers.metrics,
        services.notifier.metrics,
        shared.streams.metrics,
    )
    registries = {
        name for module in modules for name, value in vars(module).items() if isinstance(value, CollectorRegistry)
    }
    assert registries == set(declarations.PROCESSES) - {""}


async def test_requests_are_counted_by_the_template_of_their_route(
    every_app: dict[str, tuple[ASGIApp, list[str]]],
) -> None:
    app, _ = every_app["views"]
    before = _counted()
    for path in ("/v1/deals/acme%2F1", "/v1/deals/acme%2F2", "/etc/passwd", "/metrics", "/healthz"):
        await get(app, path)
    counted = _counted() - before
    assert counted["GET", "/v1/deals/{deal:path}", "401"] == 2, counted
    assert counted["GET", "unmatched", "404"] == 1
    assert not any("passwd" in route or route in ("/metrics", "/healthz") for _, route, _ in counted)


async def test_a_request_whose_handling_fails_counts_as_500() -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("on purpose")

    before = _counted()
    with pytest.raises(RuntimeError):
        await get(Observed(broken), "/v1/broken")
    assert [(status, many) for (_, _, status), many in (_counted() - before).items()] == [("500", 1)]


def _counted() -> Counter[tuple[str, str, str]]:
    """Requests by method, route and status since the process began, whichever test made them."""
    return Counter(
        {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): int(sample.value)
            for family in HTTP_SECONDS.collect()
            for sample in family.samples
            if sample.name.endswith("_count")
        }
    )


async def get(app: ASGIApp, path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> tuple[int, str]:
    """GET over ASGI, no socket: status and text."""
    sent: list[Message] = []
    raw = path.encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": raw.decode().replace("%2F", "/"),
        "raw_path": raw,
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return sent[0]["status"], body.decode()

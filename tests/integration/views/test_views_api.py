"""The capacity API over HTTP, on a real database."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from headroom.local.ports import free_ports
from services.capacity.api import install
from services.capacity.store.reading import ReadingModels
from services.capacity.store.writing import WritingModels
from services.capacity.views import ViewsSink
from shared.access import Keys, hash_key, new_key
from shared.db import create_engine, upgrade
from shared.http import create_ops_app, serve
from shared.plans import PublishedPlans
from shared.schemas.deal import Deal, Line, Stamp
from shared.schemas.forecast import Forecast, PoolMove
from shared.schemas.frame import ListedCount, ListedDeal
from shared.settings import HttpSettings
from tests.integration.views.test_read_models import deals_at, frames_at
from tests.unit.triggers.scenes import MONDAY, Written, at, plan_json, position, published, slipping
from tests.waiting import eventually


@dataclass
class Api:
    """The served API, its tables, and a caller who may read."""

    sink: ViewsSink
    plans: PublishedPlans
    session: aiohttp.ClientSession

    async def get(self, path: str, status: int = 200, **headers: str) -> tuple[Any, Any]:
        async with self.session.get(path, headers=headers) as answer:
            body = await answer.json(content_type=None) if answer.status != 304 else {}
            assert answer.status == status, body
            if status >= 400:
                assert answer.content_type == "application/problem+json"
                assert body["status"] == status
                assert body["detail"]
            return body, answer.headers


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[Api]:
    """The API on an empty database at ``url``."""
    await asyncio.to_thread(upgrade, url)
    engine, plans, key = create_engine(url), PublishedPlans(), new_key()
    app = create_ops_app("views", list)
    app.state.keys = Keys(engine, hash_key(key))
    install(app, ReadingModels(engine), plans.get)
    (port,) = free_ports(1)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(app, HttpSettings(port=port), stop))
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:

        async def answers() -> bool:
            try:
                async with session.get("/healthz") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(answers)
        yield Api(ViewsSink(WritingModels(engine), lambda: None), plans, session)
    stop.set()
    await task
    await engine.dispose()


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """The API before anything was read."""
    async with serving(database_url) as api:
        yield api


@pytest.fixture(scope="module")
async def filled(database_server: str) -> AsyncIterator[Api]:
    """The API once something was read; its tests only read."""
    name = f"t{uuid.uuid4().hex[:10]}"
    server = create_async_engine(database_server, isolation_level="AUTOCOMMIT")
    async with server.connect() as connection:
        await connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    async with serving(sa.make_url(database_server).set(database=name).render_as_string(hide_password=False)) as api:
        yield await fill(api)
    async with server.connect() as connection:
        await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await server.dispose()


async def fill(api: Api) -> Api:
    """Give it a plan, six weeks of two pools, a late release, two listed deals and one deal."""
    api.plans.add(Written(0, b"p@1", published(plan_json())))
    weeks = [position(i, 0.1 * i) for i in range(6)]
    weeks += [position(i, 0.7, pool="engineering", reported=90.0, top=[]) for i in range(6)]
    listed = [ListedDeal("crm/7", "stale", 5.0), ListedDeal("crm/8", "no-needs")]
    ages = {"implementation": 3600.0, "engineering": None}
    counts = [ListedCount("no-needs", 1), ListedCount("stale", 40, 700.0)]
    expected = [
        Forecast(
            period=period, segment=segment, at=MONDAY, bookings=bookings, pools=[PoolMove("engineering", "hours", 9.0)]
        )
        for period, segment, bookings in (("2026-Q2", "", 30.0), ("2026-Q2", "*", 40.0), ("2026-Q3", "*", 50.0))
    ]
    first = at(
        0, *weeks, complete=True, work=[slipping(3.0)], listed=listed, listed_counts=counts, report_ages=ages,
        forecasts=expected,
    )  # fmt: skip
    await api.sink.apply(frames_at(0, [first]))
    one = Deal(
        id="crm/1", source="crm", object="1", version=4, stage="commit", close=date(2026, 4, 30), amount=48_000.0,
        fields={"stage": Stamp(1_774_000_000_000)}, lines=[Line("enterprise", quantity=1.0)],
    )  # fmt: skip
    odd = Deal(id="crm/a/b c?", source="crm", object="a/b c?", version=1)
    gone = Deal(id="crm/3", source="crm", object="3", version=2, deleted=True)
    await api.sink.apply(deals_at(0, [one, odd, gone]))
    return api


async def test_positions(filled: Api) -> None:
    body, headers = await filled.get("/v1/positions")
    assert (body["as_of"], body["plan"], body["week"]) == ("2026-03-30T08:00:00Z", "p@1", "2026-W14")
    assert [(row["pool"], row["week"]) for row in body["rows"]][:2] == [
        ("engineering", "2026-W14"),
        ("engineering", "2026-W15"),
    ]
    assert (len(body["rows"]), body["next"]) == (12, None)
    assert headers["Cache-Control"] == "private, no-cache"
    row = body["rows"][-1]
    assert (row["overload"], row["backlog"], row["reported"]) == (0.5, 0.0, None)
    assert row["top"][0] == {"deal": "crm/1", "effort": 40.0, "share": 0.5, "probability": 0.9, "product": "enterprise"}


@pytest.mark.parametrize(
    ("query", "weeks"),
    [
        ("pool=implementation", ["2026-W14", "2026-W15", "2026-W16", "2026-W17", "2026-W18", "2026-W19"]),
        ("pool=implementation&from=2026-W18", ["2026-W18", "2026-W19"]),
        ("pool=implementation&to=2026-W14", ["2026-W14"]),
        ("pool=implementation&from=2026-W15&to=2026-W16", ["2026-W15", "2026-W16"]),
        ("pool=implementation&from=2027-W01", []),
    ],
)
async def test_positions_of_some_weeks(filled: Api, query: str, weeks: list[str]) -> None:
    body, _ = await filled.get(f"/v1/positions?{query}")
    assert [row["week"] for row in body["rows"]] == weeks


async def test_pages_join_to_the_whole(filled: Api) -> None:
    whole, _ = await filled.get("/v1/positions")
    rows, after = [], ""
    while True:
        body, _ = await filled.get(f"/v1/positions?limit=5{after}")
        rows += body["rows"]
        assert len(body["rows"]) <= 5
        if body["next"] is None:
            break
        after = f"&after={body['next']}"
    assert rows == whole["rows"]


async def test_an_unchanged_projection_is_not_sent_again(api: Api) -> None:
    await fill(api)
    tags: dict[str, str] = {}
    for path in ("/v1/positions", "/v1/forecasts", "/v1/pools", "/v1/work", "/v1/listed", "/v1/deals/crm/1"):
        _, headers = await api.get(path)
        tags[path] = headers["ETag"]
        await api.get(path, 304, **{"If-None-Match": tags[path]})
        await api.get(path, 304, **{"If-None-Match": f'"other", {tags[path]}'})
    await api.sink.apply(frames_at(1, [at(1, position(0, 0.99))]))
    for path, tag in tags.items():
        _, headers = await api.get(path, **{"If-None-Match": tag})
        assert headers["ETag"] != tag


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [("2026-Q2", "", 30.0), ("2026-Q2", "*", 40.0), ("2026-Q3", "*", 50.0)]),
        ("?period=2026-Q2", [("2026-Q2", "", 30.0), ("2026-Q2", "*", 40.0)]),
        ("?segment=*", [("2026-Q2", "*", 40.0), ("2026-Q3", "*", 50.0)]),
        ("?segment=", [("2026-Q2", "", 30.0)]),
    ],
)
async def test_forecasts(filled: Api, query: str, found: list[tuple[str, str, float]]) -> None:
    body, _ = await filled.get(f"/v1/forecasts{query}")
    assert (body["as_of"], body["plan"]) == ("2026-03-30T08:00:00Z", "p@1")
    assert [(row["period"], row["segment"], row["bookings"]) for row in body["rows"]] == found
    assert {row["bridge"]["price"] for row in body["rows"]} == {0.0}
    assert {(row["pools"][0]["pool"], row["pools"][0]["effort_change"]) for row in body["rows"]} == {
        ("engineering", 0.0)
    }


async def test_a_forecast_that_there_is_not(filled: Api) -> None:
    body, _ = await filled.get("/v1/forecasts?period=2026-Q4&segment=smb", 404)
    assert body["title"] == "no such forecast"
    assert body["detail"].endswith('periods are "2026-Q2", "2026-Q3"; segments are "", "*".')
    body, _ = await filled.get("/v1/forecasts?period=second", 422)
    assert (body["title"], body["where"]) == ("not a period", "query.period")


async def test_pools(filled: Api) -> None:
    body, _ = await filled.get("/v1/pools")
    implementation, engineering = body["rows"]
    assert implementation == {
        "pool": "implementation",
        "function": "delivery",
        "kind": "work",
        "unit": "hours",
        "owner": {"id": "ana", "name": "Ana Costa"},
        "escalation": ["ben"],
        "next_overloaded": None,
        "worst": {"week": "2026-W19", "overload": 0.5},
        "report_age_seconds": 3600.0,
        "work": [],
    }
    assert (engineering["next_overloaded"], engineering["report_age_seconds"]) == ("2026-W14", None)
    assert [(item["work"], item["slip_weeks"]) for item in engineering["work"]] == [("release", 3.0)]


async def test_work(filled: Api) -> None:
    body, _ = await filled.get("/v1/work")
    assert [(row["work"], row["due"], row["finish"]) for row in body["rows"]] == [("release", "2026-W18", "2026-W21")]


async def test_listed(filled: Api) -> None:
    body, _ = await filled.get("/v1/listed?limit=1")
    assert body["counts"] == {"no-needs": 1, "stale": 40}
    assert body["rows"] == [{"deal": "crm/8", "reason": "no-needs", "exposure": 0.0}]
    rest, _ = await filled.get(f"/v1/listed?after={body['next']}")
    assert rest["rows"] == [{"deal": "crm/7", "reason": "stale", "exposure": 5.0}]
    of_one_reason, _ = await filled.get("/v1/listed?reason=stale")
    assert len(of_one_reason["rows"]) == 1


async def test_a_deal_with_what_it_stresses(filled: Api) -> None:
    body, _ = await filled.get("/v1/deals/crm/1")
    deal = body["deal"]
    assert (deal["stage"], deal["close"], deal["amount"]) == ("commit", "2026-04-30", 48_000.0)
    assert deal["fields"] == {"stage": [1_774_000_000_000, 0, 0]}
    assert deal["lines"][0]["product"] == "enterprise"
    assert [row["week"] for row in body["positions"]] == [f"2026-W{week}" for week in range(14, 20)]
    assert body["positions"][0]["share"] == 0.5
    assert body["work"][0] == {
        "work": "release", "pool": "engineering", "slip_weeks": 3.0,
        "deal": "crm/1", "effort": 30.0, "share": 0.6, "probability": 1.0, "product": "enterprise",
    }  # fmt: skip
    assert body["listed"] == []


async def test_ids_may_hold_anything(filled: Api) -> None:
    body, _ = await filled.get("/v1/deals/crm/a/b%20c%3F")
    assert body["deal"]["id"] == "crm/a/b c?"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/deals/crm/99", 404, "No deal 'crm/99' has been seen"),
        ("/v1/deals/crm/3", 404, "crm deleted 'crm/3'"),
        ("/v1/deals/crm/%00", 404, "has been seen"),
        ("/v1/positions?pool=sales", 404, "it has implementation, engineering"),
        ("/v1/positions?from=2026-14", 422, "write a week as 2026-W14"),
        ("/v1/positions?to=2026-W54", 422, "write a week as 2026-W14"),
        ("/v1/positions?from=xxxx-Wyy", 422, "write a week as 2026-W14"),
        ("/v1/positions?limit=0", 422, "limit"),
        ("/v1/positions?after=nonsense", 422, "unchanged"),
        ("/v1/positions?after=WzEsMl0=", 422, "unchanged"),
        ("/v1/positions?pool=%00", 422, "pool"),
        ("/v1/nowhere", 404, ""),
    ],
)
async def test_what_cannot_be_answered_is_said(filled: Api, path: str, status: int, words: str) -> None:
    async with filled.session.get(path) as answer:
        body = await answer.json(content_type=None)
    assert answer.status == status, body
    assert answer.content_type == "application/problem+json"
    assert words in body["detail"]


@pytest.mark.parametrize("path", ["/v1/positions", "/v1/pools", "/v1/work", "/v1/listed"])
async def test_before_the_first_frame_it_says_when_to_ask_again(api: Api, path: str) -> None:
    _, headers = await api.get(path, 503)
    assert int(headers["Retry-After"]) >= 1


async def test_before_the_frames_plan_is_known_pools_wait(api: Api) -> None:
    await api.sink.apply(frames_at(0, [at(0, position(0, 0.1), complete=True)]))
    await api.get("/v1/positions?pool=implementation")
    await api.get("/v1/pools", 503)


async def test_a_deal_is_shown_before_the_first_frame(api: Api) -> None:
    await api.sink.apply(deals_at(0, [Deal(id="crm/1", source="crm", object="1", version=1)]))
    body, _ = await api.get("/v1/deals/crm/1")
    assert (body["as_of"], body["positions"], body["deal"]["version"]) == (None, [], 1)


async def test_only_keys_that_may_read_are_answered(filled: Api) -> None:
    for headers, status in (({"Authorization": "Bearer hr_wrong"}, 401), ({"Authorization": "nothing"}, 401)):
        await filled.get("/v1/positions", status, **headers)

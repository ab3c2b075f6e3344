"""Questions to the live book over HTTP: the processes run on a real broker and database."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.access import hash_key, new_key
from shared.schemas.deal import Deal, Line, encode
from shared.topics import DEALS
from tests.integration.capacity.system import Topics, at
from tests.integration.operator.conftest import log, migrated_url  # noqa: F401 — fixtures
from tests.integration.operator.processes import environment, headroom, running
from tests.unit.capacity.plans import plan, work_pool
from tests.waiting import eventually

KEY = new_key()
WEEK = "2026-W14"
DEALS_MADE = 40


@dataclass
class Running:
    """A running system's topics, and its capacity API as one sees it who may read."""

    log: Topics
    session: aiohttp.ClientSession

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.session.get(path) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == status, body
            return body


def made(number: int, **more: Any) -> Deal:
    """Deals of 1, 2, 3 … units."""
    line = Line("basic", quantity=float(number), probability=0.5)
    facts: dict[str, Any] = {"version": 1, "stage": "qualified", "close": date(2026, 4, 1), "lines": [line]}
    return Deal(id=f"crm/{number}", source="crm", object=str(number), **facts | more)


@pytest.fixture
async def system(log: Topics, migrated_url: str, tmp_path: Path) -> AsyncIterator[Running]:  # noqa: F811
    """Fold, project and views over forty deals and a plan, at the start of 2026-W14."""
    deals = [made(number) for number in range(1, DEALS_MADE + 1)]
    work = {"release": {"pool": "eng", "effort": 3000.0, "start": WEEK, "due": "2026-W16"}}
    needs = [{"pool": "eng", "effort": 10.0, "curve": {"shape": "flat", "weeks": 4}}]
    await log.publish(plan({"eng": work_pool(1000.0)}, {"basic": {"needs": needs}}, work=work))
    await log.write(DEALS, [(one.id.encode(), encode(one)) for one in deals])
    clock = at("2026-03-30T08:00:00+00:00")
    variables = environment(log.kafka, migrated_url, HEADROOM_BOOTSTRAP_KEY_HASH=hash_key(KEY), **clock)
    async with running("fold", "project", "views", logs=tmp_path, **variables) as processes:
        url = next(one.url for one in processes.status() if one.name == "views")
        async with aiohttp.ClientSession(url, headers={"X-API-Key": KEY}) as session:
            found = Running(log, session)

            async def told() -> bool:
                rows = (await found.get("/v1/positions?limit=5"))["rows"]
                causes = await found.get(f"/v1/positions/eng/{WEEK}/causes")
                assert rows[0]["expected"] > 1000.0
                assert causes["demand"] == rows[0]["expected"]
                return True

            await eventually(told, within=60)
            yield found


async def test_causes_and_stresses_are_of_the_book_as_it_is_shown(system: Running) -> None:
    (shown, *_) = (await system.get("/v1/positions"))["rows"]
    found = await system.get(f"/v1/positions/eng/{WEEK}/causes?deals=3")
    assert (found["pool"], found["week"], found["overload"]) == ("eng", WEEK, shown["overload"])
    assert [one["deal"] for one in found["deals"]] == ["crm/40", "crm/39", "crm/38"]
    assert sum(one["share"] for one in found["deals"]) + found["others"]["share"] == pytest.approx(1.0, abs=1e-6)
    assert sum(one["tail_share"] for one in found["deals"]) + found["others"]["tail_share"] == pytest.approx(1.0)
    assert found["deals"][0]["overload_without"] < shown["overload"]

    # The largest is named by its cell, the smallest is not.
    for number in (40, 1):
        stressed = await system.get(f"/v1/deals/crm/{number}/stresses")
        weeks = [one["week"] for one in stressed["positions"]]
        assert sorted(weeks) == [f"2026-W{week}" for week in (14, 15, 16, 17)]
        assert all(one["effort"] == pytest.approx(number * 10 / 4 * 0.5) for one in stressed["positions"])
        (item,) = stressed["work"]
        assert (item["work"], item["slip_weeks"] >= item["slip_without"]) == ("release", True)

    problem = await system.get("/v1/positions/nobody/2026-W14/causes", 404)
    assert "it has eng" in problem["detail"]
    assert (await system.get("/v1/positions/eng/1999-W01/causes", 404))["title"] == "no such position"
    assert (await system.get("/v1/deals/crm/99/stresses", 404))["title"] == "no such deal"


async def asked(system: Running, overlay: dict[str, Any], status: int = 200) -> Any:
    async with system.session.post("/v1/what-if", json=overlay) as answer:
        body = await answer.json(content_type=None)
        assert answer.status == status, body
        return body


async def test_a_hundred_overlays_at_once_leave_what_is_live_as_it_is(system: Running) -> None:
    before = (await system.get("/v1/positions"))["rows"]
    expected = {row["week"]: row["expected"] for row in before}

    async def won(number: int) -> None:
        """Deal ``number`` is won: its half becomes whole, and no other deal's does."""
        body = await asked(system, {"deals": [{"of": {"ids": [f"crm/{number}"]}, "outcome": "won"}]})
        # What waits from these weeks is worked off in later ones.
        rows = {row["week"]: row for row in body["positions"] if "booked" in row["difference"]}
        assert body["deal_lines"] == [1.0]
        assert sorted(rows) == [f"2026-W{week}" for week in (14, 15, 16, 17)]
        for week, row in rows.items():
            assert row["before"]["expected"] == expected[week]
            assert row["difference"]["booked"] == pytest.approx(number * 10 / 4)
            assert row["difference"]["expected"] == pytest.approx(-number * 10 / 4 * 0.5)

    await asyncio.gather(*(won(1 + number % DEALS_MADE) for number in range(100)))
    assert (await system.get("/v1/positions"))["rows"] == before
    causes = await system.get(f"/v1/positions/eng/{WEEK}/causes")
    assert causes["demand"] == expected[WEEK]


def units_lost(answer: Any) -> float:
    """How many units of an open deal are no longer expected in the first week."""
    (row,) = (row for row in answer["positions"] if row["week"] == WEEK)
    return -float(row["difference"]["expected"]) / (10 / 4 * 0.5)


async def test_deals_that_change_meanwhile_are_taken_as_they_are_then(system: Running) -> None:
    """Whatever moment the answer is of, before and after differ by the deal as it was at that moment."""
    versions = 12

    async def change() -> None:
        for version in range(2, versions + 1):
            line = Line("basic", quantity=7.0 + version, probability=0.5)
            one = made(7, version=version, lines=[line])
            await system.log.write(DEALS, [(one.id.encode(), encode(one))])
            await asyncio.sleep(0.05)

    changing = asyncio.create_task(change())
    sizes = []
    while not changing.done() or len(sizes) < 3:
        async with system.session.post(
            "/v1/what-if", json={"deals": [{"of": {"ids": ["crm/7"]}, "outcome": "lost"}]}
        ) as answer:
            body = await answer.json()
            if answer.status == 503:
                assert "Retry-After" in answer.headers
                continue
            assert answer.status == 200, body
            sizes.append(units_lost(body))
    await changing
    assert all(size == pytest.approx(round(size)) for size in sizes), sizes
    assert {round(size) for size in sizes} <= {7, *range(9, 7 + versions + 1)}

    async def newest() -> bool:
        body = await asked(system, {"deals": [{"of": {"ids": ["crm/7"]}, "outcome": "lost"}]})
        return units_lost(body) == pytest.approx(7 + versions)

    await eventually(newest, within=20)


async def test_the_command_shows_before_and_after_and_names_what_does_not_fit(system: Running, tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    url = str(system.session._base_url)
    variables = {"HEADROOM_CAPACITY_URL": url, "HEADROOM_API_KEY": KEY}
    file.write_text(
        "what_if: two more people\n"
        "capacity: [{pool: eng, capacity: 1100, weeks: 2026-W14..2026-W15}]\n"
        "deals: [{of: {products: [basic]}, close_later_weeks: 1}]\n"
        "plan_changes: {work: {release: {effort: 2000}}}\n"
    )
    said = await headroom("what-if", str(file), variables=variables)
    assert "two more people: plan small@1 with changes" in said.output
    assert "release" in said.output
    whole = json.loads((await headroom("what-if", str(file), "--json", variables=variables)).output)
    assert whole["deal_lines"] == [40.0]
    first = next(row for row in whole["positions"] if row["week"] == WEEK)
    assert (first["difference"]["capacity"], first["after"]["expected"]) == (100.0, 0.0)
    (item,) = whole["work"]
    assert item["difference"]["effort"] == -1000.0

    file.write_text("deals:\n  - of: {ids: [crm/1, crm/404]}\n    outcome: won\n")
    said = await headroom("what-if", str(file), variables=variables, exit_code=1)
    assert "overlay.yaml:2:23: no deal 'crm/404' is known" in str(said.exception)
    file.write_text("plan_changes:\n  pools:\n    eng:\n      owner: zoe\n")
    said = await headroom("what-if", str(file), variables=variables, exit_code=1)
    assert "overlay.yaml:4:14: pools.eng.owner: " in str(said.exception)
    refused = await asked(system, {"plan_text": "x" * 500_000}, 422)
    assert (refused["title"], refused["problems"][0]["path"]) == ("the overlay does not fit the book", ["plan_text"])
    assert "say in plan_changes what differs" in refused["detail"]
    refused = await asked(system, {"plan_text": "plan: small"}, 422)
    assert refused["title"] == "the plan cannot be used"
    said = await headroom("what-if", str(file), variables=variables | {"HEADROOM_API_KEY": "hr_no"}, exit_code=1)
    assert "unknown or revoked API key" in str(said.exception)

"""Questions to the live book over HTTP: the processes run on a real broker and database."""

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
from tests.integration.operator.processes import environment, running
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

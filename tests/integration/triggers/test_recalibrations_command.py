"""``headroom recalibrations`` against the notifier's API on a real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from headroom.cli import exit_code
from headroom.recalibrations import app
from services.notifier.store.recalibrations import Recalibrations
from shared.db import upgrade
from shared.errors import HeadroomError, NotReady
from shared.schemas.position import TopDeal
from shared.schemas.recalibration import Stress
from tests.integration.notifier.made import arrivals, recalibration
from tests.integration.notifier.process import KEY
from tests.integration.notifier.service import Service, serving


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    await asyncio.to_thread(upgrade, database_url)
    async with serving(database_url) as service:
        yield service


async def run(service: Service, *arguments: str, key: str = KEY) -> Result:
    call = [*arguments, "--url", service.url, "--key", key]
    return await asyncio.to_thread(CliRunner().invoke, app, call, env={"COLUMNS": "200"})


def said(result: Result) -> Any:
    """The JSON it printed; the service under test logs to the same standard output."""
    (line,) = (line for line in result.stdout.splitlines() if line.startswith(("[{", "{", "[]")))
    return json.loads(line)


async def test_what_is_open_is_listed_and_shown(service: Service) -> None:
    firing = recalibration(
        "11111111-0000-5000-8000-000000000001",
        cause=[TopDeal("crm/17", 120.0, 0.4, 0.85, "enterprise")],
        stressed=[Stress("implementation", 150.0, "hours", 0.5)],
        from_week="2026-W15",
        to_week="2026-W17",
        unit="hours",
        grouped=True,
    )
    settled = recalibration("11111111-0000-5000-8000-000000000002", 2, "resolved")
    await Recalibrations(service.notifier.engine).take_in(arrivals(firing, settled))
    listed = said(await run(service, "list", "--json"))
    assert [item["recalibration"]["id"] for item in listed] == [firing.id]
    everything = said(await run(service, "list", "--state", "all", "--json"))
    assert {item["recalibration"]["id"] for item in everything} == {firing.id, settled.id}
    assert "No recalibrations." in (await run(service, "list", "--pool", "nobody")).stdout
    table = (await run(service, "list")).stdout
    assert "2026-W15 to 2026-W17" in table
    shown = (await run(service, "show", firing.id)).stdout
    assert "Engineering is short by 320 h" in shown
    assert "critical, grouped by the alert budget" in shown
    assert "crm/17" in shown
    assert "implementation 150" in shown
    one = said(await run(service, "show", firing.id, "--json"))
    assert one["recalibration"]["stressed"][0]["pool"] == "implementation"


async def test_what_does_not_work_says_so_with_its_exit_code(service: Service) -> None:
    missing = await run(service, "show", "11111111-0000-5000-8000-00000000000f")
    assert isinstance(missing.exception, HeadroomError)
    assert exit_code(missing.exception) == 1
    refused = await run(service, "list", key="hr_nobody")
    assert isinstance(refused.exception, HeadroomError)
    assert exit_code(refused.exception) == 4
    away = await asyncio.to_thread(CliRunner().invoke, app, ["list", "--url", "http://127.0.0.1:9"])
    assert isinstance(away.exception, NotReady)
    assert "HEADROOM_NOTIFIER_URL" in str(away.exception)

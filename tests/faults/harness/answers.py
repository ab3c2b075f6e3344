"""What the API answers, held against the recompute."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from tests.faults.harness import recompute
from tests.faults.harness.differences import Difference, missing_and_extra, same
from tests.faults.harness.load import TIMEOUT
from tests.faults.harness.system import System

ASKED_ONE_BY_ONE = 10
"""Deals that are asked for by name, where not every deal is; of all else everything is asked for."""


async def differences(
    system: System, judged: recompute.Evaluation, deals: Mapping[str, Any], *, every_deal: bool
) -> AsyncIterator[Difference]:
    """Positions, forecasts, deals and what stands to be answered."""
    async with aiohttp.ClientSession(headers={"X-API-Key": system.key}, timeout=TIMEOUT) as session:
        views = f"{system.url('views')}/v1"
        status, told = await _get(session, f"{views}/positions?limit=5000")
        rows = {(row["pool"], row["week"]): _position(row) for row in told.get("rows", [])}
        wanted = {key: _position(row) for key, row in judged.table.rows.items()}
        for difference in same(f"the API's positions ({status})", rows, wanted):
            yield difference
        status, told = await _get(session, f"{views}/forecasts")
        rows = {(row["period"], row["segment"]): _compact(row) for row in told.get("rows", [])}
        wanted = {key: _compact(row) for key, row in judged.table.forecasts.items()}
        for difference in same(f"the API's forecasts ({status})", rows, wanted):
            yield difference
        for deal in sorted(deals)[:: 1 if every_deal else max(1, len(deals) // ASKED_ONE_BY_ONE)]:
            status, told = await _get(session, f"{views}/deals/{deal}")
            said = {} if status == 404 and deals[deal]["deleted"] else deals[deal]
            shown = recompute.as_said(told["deal"]) if status == 200 else {}
            if _lines(shown) != _lines(said):
                yield Difference("lost", "the API's deals", f"{deal} is {shown} ({status}), not {said}")
        status, told = await _get(session, f"{system.url('notifier')}/v1/recalibrations?state=firing")
        firing = {pool for pool, episode in judged.episodes.items() if episode.phase == "firing"}
        scopes = [one["recalibration"]["scope"] for one in told.get("items", [])]
        for difference in missing_and_extra(f"the API's recalibrations ({status})", scopes, firing):
            yield difference


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    try:
        async with session.get(url) as answer:
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError):
        return 0, {}


def _position(row: Mapping[str, Any]) -> Any:
    top = [{"probability": 1.0, "product": ""} | one for one in row.get("top", [])]
    return _compact(dict(row) | {"top": top})


def _compact(value: Any) -> Any:
    """A value without what is nothing, at any depth: topics leave out what the API spells out."""
    if isinstance(value, Mapping):
        parts = {name: _compact(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in (None, 0, "", [], {})}
    return [_compact(part) for part in value] if isinstance(value, list) else value


def _lines(deal: Mapping[str, Any]) -> dict[str, Any]:
    """A deal whose lines hold only what is known of them."""
    lines = [{name: value for name, value in line.items() if value is not None} for line in deal.get("lines", [])]
    return dict(deal) | {"lines": lines}

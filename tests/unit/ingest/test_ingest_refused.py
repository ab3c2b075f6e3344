"""Who is not let in with events is counted, whichever way the request takes through the door."""

from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from services.ingest import metrics
from services.ingest.api import events
from services.ingest.api.bodies import Limits
from shared.access import Principal
from shared.clock import WallClock
from shared.http import create_ops_app
from shared.straight import StraightApp


class OneKey:
    """The only key is ``hr_read``, and it may only read."""

    async def principal(self, key: str) -> Principal | None:
        return Principal("1", "one", frozenset({"read"})) if key == "hr_read" else None


def door(*, straight: bool) -> StraightApp:
    app = create_ops_app("some", list)
    app.state.keys = OneKey()
    inbox: Any = None  # nothing comes that far
    app.include_router(events.create_router(inbox, Limits(1, 1, 1.0), WallClock()))
    if straight:
        app.go_straight(events.PATH)
    return app


def counted() -> dict[tuple[str, str], float]:
    """Requests refused by source and status."""
    (found,) = metrics.REFUSED.collect()
    samples = [sample for sample in found.samples if sample.name.endswith("_total")]
    return {(sample.labels["source"], sample.labels["status"]): sample.value for sample in samples}


@pytest.mark.parametrize("straight", [True, False])
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"x-api-key": "hr_stranger"}, 401), ({"x-api-key": "hr_read"}, 403)]
)
async def test_a_key_that_does_not_hold_is_counted_once(headers: dict[str, str], status: int, straight: bool) -> None:
    before = counted()
    async with AsyncClient(transport=ASGITransport(door(straight=straight)), base_url="http://test") as client:
        answer = await client.post(events.PATH, headers={"ce-source": "a stranger", **headers}, content=b"{}")
    assert answer.status_code == status
    ours = ("cloudevents", str(status))
    assert counted() == before | {ours: before.get(ours, 0.0) + 1}

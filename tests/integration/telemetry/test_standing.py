"""The figures of what people are late with, and of who can be told, from a real database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.domain.answers import Words
from services.notifier.store.answers import Answers
from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.standing import Late, Standing
from services.notifier.store.tables import subscriptions
from shared.db import create_engine, upgrade
from tests.integration.notifier.made import MOMENT, arrivals, recalibration

HOUR = timedelta(hours=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await asyncio.to_thread(upgrade, database_url)
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


async def test_late_is_what_is_open_past_its_deadline_and_not_answered(engine: AsyncEngine) -> None:
    deadlines = {"acknowledge_by": MOMENT + 4 * HOUR, "decide_by": MOMENT + 48 * HOUR}
    taken = [
        recalibration("asked", scope="a", **deadlines),
        recalibration("seen", scope="b", **deadlines),
        recalibration("decided", scope="c", **deadlines),
        recalibration("over", 2, "resolved", scope="d", **deadlines),
        recalibration("without a deadline", scope="e"),
    ]
    await Recalibrations(engine).take_in(arrivals(*taken))
    answers = Answers(engine)
    await answers.give("seen", Words("acknowledged", "ada"), now=MOMENT, key=None, key_name="test")
    await answers.give("decided", Words("decided", "ada", why="so"), now=MOMENT, key=None, key_name="test")

    standing = Standing(engine)
    assert await standing.late(MOMENT + 3 * HOUR) == Late(acknowledge=0, decide=0)
    assert await standing.late(MOMENT + 5 * HOUR) == Late(acknowledge=1, decide=0)
    assert await standing.late(MOMENT + 49 * HOUR) == Late(acknowledge=1, decide=2)


async def test_subscriptions_are_enabled_paused_or_gone(engine: AsyncEngine) -> None:
    standing = Standing(engine)
    assert await standing.subscriptions() == {"enabled": 0, "paused": 0, "gone": 0}
    rows = [(True, None), (True, None), (False, "paused by its owner"), (False, "answered 410")]
    async with engine.begin() as connection:
        for enabled, reason in rows:
            values = {"name": "n", "channel": "webhook", "url": "https://x.example", "filters": {}, "key_name": "k"}
            await connection.execute(
                sa.insert(subscriptions).values(
                    id=sa.func.gen_random_uuid(), enabled=enabled, disabled_reason=reason, **values
                )
            )
        await connection.execute(
            sa.insert(subscriptions).values(
                id=sa.func.gen_random_uuid(), enabled=False, deleted=sa.func.now(), disabled_reason="deleted", **values
            )
        )
    assert await standing.subscriptions() == {"enabled": 2, "paused": 1, "gone": 1}

"""What is beyond an alert budget comes as one message per subscription and window; nothing of it is lost or doubled."""

import asyncio
import json
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.domain.messages import GROUPED, WHOLE
from services.notifier.domain.routing import Filters
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.grouped import Grouped
from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.subscriptions import Subscriptions
from services.notifier.store.tables import deliveries, grouped
from tests.integration.notifier.made import SECRET, arrivals, recalibration, subscribe
from tests.integration.notifier.receiver import Receiver
from tests.integration.notifier.service import serving
from tests.waiting import eventually

URL = "https://hooks.example.com/in"
AT_ONCE, LATER = timedelta(0), timedelta(hours=1)


async def told(engine: AsyncEngine) -> list[tuple[str, str, dict[str, Any]]]:
    """Subscription, type and data of each delivery, in the order in which they were planned."""
    query = sa.select(deliveries.c.subscription, deliveries.c.type, deliveries.c.body).order_by(deliveries.c.id)
    async with engine.connect() as connection:
        return [(str(row[0]), row[1], json.loads(row[2])["data"]) for row in await connection.execute(query)]


def named(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["id"], one["kind"]) for one in data["recalibrations"]]


async def test_grouped_ones_wait_and_then_come_together(engine: AsyncEngine) -> None:
    await subscribe(engine, URL)
    mine = await subscribe(engine, URL, Filters(pools=frozenset({"support"})))
    storm = [
        recalibration("single"),
        recalibration("a", grouped=True, severity="info"),
        recalibration("b", grouped=True, pool="support", severity="critical"),
        recalibration("a", 2, "resolved", grouped=True, severity="info"),
    ]
    store = Recalibrations(engine)
    assert (await store.take_in(arrivals(*storm))).planned == {"recalibration.firing": 1}
    await store.take_in(arrivals(*storm))  # the batch comes again
    assert await Grouped(engine, LATER).gather() == 0
    assert await Grouped(engine, AT_ONCE).gather() == 2
    assert await Grouped(engine, AT_ONCE).gather() == 0
    first, *together = await told(engine)
    assert first[1] == "recalibration.firing"
    assert {kind for _, kind, _ in together} == {GROUPED}
    by_subscription = {subscription: data for subscription, _, data in together}
    assert named(by_subscription.pop(str(mine.id))) == [("b", "firing")]
    (everything,) = by_subscription.values()
    assert named(everything) == [("b", "firing"), ("a", "firing"), ("a", "resolved")]
    assert everything["recalibrations"][0]["owners"] == ["ada"]


async def test_what_comes_after_a_window_opens_the_next(engine: AsyncEngine) -> None:
    await subscribe(engine, URL)
    store, grouped = Recalibrations(engine), Grouped(engine, AT_ONCE)
    for name in ("a", "b"):
        await store.take_in(arrivals(recalibration(name, grouped=True)))
        await grouped.gather()
    assert [named(data) for _, _, data in await told(engine)] == [[("a", "firing")], [("b", "firing")]]


async def test_of_a_storm_every_one_is_named(engine: AsyncEngine) -> None:
    await subscribe(engine, URL)
    many = [recalibration(f"r{n}", grouped=True) for n in range(WHOLE + 700)]
    await Recalibrations(engine).take_in(arrivals(*many))
    assert await Grouped(engine, AT_ONCE).gather() == 1
    ((_, _, data),) = await told(engine)
    assert data["count"] == len(many)
    assert {one["id"] for one in data["recalibrations"]} == {one.id for one in many}
    assert sum("summary" in one for one in data["recalibrations"]) == WHOLE


async def test_what_waits_for_a_subscription_that_goes_is_given_up_where_it_can_be_seen(engine: AsyncEngine) -> None:
    gone = await subscribe(engine, URL)
    await Recalibrations(engine).take_in(arrivals(recalibration("a", grouped=True)))
    await Subscriptions(engine).delete(gone.id)
    (one,) = await Deliveries(engine).listed(limit=10)
    assert (one.type, one.state, one.reason) == (GROUPED, "given-up", "the subscription was deleted")
    assert await Grouped(engine, AT_ONCE).gather() == 0


async def test_a_grouped_message_is_found_by_each_recalibration_it_tells_of(migrated_url: str) -> None:
    async with serving(migrated_url, group_window=3600) as service:
        engine = service.notifier.engine
        await subscribe(engine, URL)
        storm = [recalibration("a", grouped=True), recalibration("b", grouped=True), recalibration("c")]
        await Recalibrations(engine).take_in(arrivals(*storm, recalibration("a", 2, "resolved", grouped=True)))
        assert await Grouped(engine, AT_ONCE).gather() == 1
        for name, type_ in (("a", GROUPED), ("b", GROUPED), ("c", "recalibration.firing")):
            _, page = await service.call("GET", f"/v1/deliveries?recalibration={name}")
            assert [one["type"] for one in page["items"]] == [type_], name
        _, page = await service.call("GET", "/v1/deliveries?recalibration=d")
        assert page["items"] == []


async def test_what_gathers_is_seen_to_wait_and_as_long_as_its_first(engine: AsyncEngine) -> None:
    store, took_in = Deliveries(engine), Recalibrations(engine)
    mine = await subscribe(engine, URL)
    assert await store.waiting() == (0, 0.0)
    await took_in.take_in(arrivals(recalibration("a", grouped=True), recalibration("b", grouped=True)))
    await _older(engine, "a", timedelta(hours=1))
    waiting, oldest = await store.waiting()
    assert (waiting, 3600 <= oldest < 3660) == (1, True)
    await took_in.take_in(arrivals(recalibration("single")))
    assert (await store.waiting())[0] == 2
    await Subscriptions(engine).change(mine.id, enabled=False)
    assert await store.waiting() == (0, 0.0), "who is paused waits for nothing"


async def _older(engine: AsyncEngine, identity: str, age: timedelta) -> None:
    mine = grouped.c.event == recalibration(identity).event_id
    async with engine.begin() as connection:
        await connection.execute(sa.update(grouped).where(mine).values(created=sa.func.clock_timestamp() - age))


@pytest.mark.parametrize("seed", range(3))
async def test_gathering_beside_taking_in_loses_and_doubles_nothing(engine: AsyncEngine, seed: int) -> None:
    """Some gather, some are cancelled while they do, others take in, whole batches again and again."""
    dice = random.Random(seed)
    for _ in range(2):
        await subscribe(engine, URL)
    store = Recalibrations(engine)
    batches = [[recalibration(f"r{b}-{n}", grouped=True) for n in range(5)] for b in range(12)]

    async def take(ones: list[Any]) -> None:
        for _ in range(2):
            await store.take_in(arrivals(*ones))

    async def gather() -> None:
        for _ in range(8):
            trying = asyncio.create_task(Grouped(engine, AT_ONCE).gather())
            await asyncio.wait({trying}, timeout=dice.random() * 0.02)
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)

    await asyncio.gather(*(take(ones) for ones in batches), gather(), gather())
    await Grouped(engine, AT_ONCE).gather()
    found = Counter((to, event["event_id"]) for to, _, data in await told(engine) for event in data["recalibrations"])
    assert set(found.values()) == {1}
    assert len(found) == 2 * sum(map(len, batches))


async def test_the_message_arrives_signed_when_the_window_closes(migrated_url: str, receiver: Receiver) -> None:
    async with serving(migrated_url, group_window=0.2) as service:
        engine = service.notifier.engine
        await subscribe(engine, receiver.url())
        await Recalibrations(engine).take_in(arrivals(*(recalibration(f"r{n}", grouped=True) for n in range(3))))
        await eventually(lambda: receiver.got)
        message = receiver.got[0].verified(SECRET.reveal())
        assert message["type"] == GROUPED
        assert sorted(named(message["data"])) == [(f"r{n}", "firing") for n in range(3)]
        metrics = await (await service.api.get("/metrics")).text()
        assert 'headroom_notifier_deliveries_planned_total{type="recalibration.grouped"} 1.0' in metrics
        assert len(receiver.got) == 1

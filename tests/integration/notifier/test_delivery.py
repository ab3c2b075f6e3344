"""The delivery worker: real receivers, real leases."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.channels.webhook import Webhook
from services.notifier.delivery import Worker
from services.notifier.domain.schedule import Delivered
from services.notifier.domain.signing import secret_of
from services.notifier.metrics import notifier_series
from services.notifier.store.deliveries import Deliveries, Delivery, PastAttempt
from services.notifier.store.feed import Feed
from services.notifier.store.grouped import Grouped
from services.notifier.store.queue import Attempt, Queue, Settlement
from services.notifier.store.recalibrations import Arrival, Recalibrations
from services.notifier.store.subscriptions import Subscriptions
from services.notifier.store.tables import deliveries
from shared.clock import Clock, VirtualClock
from shared.schemas.trace import Passage
from tests.integration.notifier.made import MOMENT, SECRET, arrivals, recalibration, subscribe
from tests.integration.notifier.receiver import Receiver, with_headers
from tests.waiting import eventually

LEASE = 10.0
WINDOW = timedelta(minutes=5)


@asynccontextmanager
async def working(
    engine: AsyncEngine,
    *,
    timeout: float = 5.0,
    lease: float = LEASE,
    poll: float = 0.05,
    clock: Clock | None = None,
) -> AsyncIterator[Worker]:
    """A worker at work, with room for four attempts per subscription."""
    queue = Queue(engine, uuid.uuid4(), timedelta(seconds=lease))
    async with Webhook(exempt=(IPv4Network("127.0.0.0/8"),), timeout=timeout, connections=100) as webhook:
        worker = Worker(
            queue,
            Grouped(engine, WINDOW),
            webhook,
            concurrency=100,
            per_endpoint=4,
            lease=lease,
            poll=poll,
            clock=clock,
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.wait({task})
        assert task.cancelled(), task


@pytest.fixture
async def worker(engine: AsyncEngine) -> AsyncIterator[Worker]:
    async with working(engine) as worker:
        yield worker


async def plan(engine: AsyncEngine, count: int = 1) -> None:
    await Recalibrations(engine).take_in(arrivals(*(recalibration(f"r{n}") for n in range(count))))


async def make_due(engine: AsyncEngine) -> None:
    """As if the wait for the next attempt were over."""
    async with engine.begin() as connection:
        await connection.execute(sa.update(deliveries).values(due=sa.func.clock_timestamp()))


async def only(engine: AsyncEngine) -> tuple[Delivery, list[PastAttempt]]:
    [listed] = await Deliveries(engine).listed(limit=10)
    found = await Deliveries(engine).get(listed.id)
    assert found is not None
    return found


def stands(engine: AsyncEngine, state: str, attempts: int) -> Callable[[], Awaitable[bool]]:
    async def question() -> bool:
        delivery, _ = await only(engine)
        return (delivery.state, delivery.attempts) == (state, attempts)

    return question


async def test_a_recalibration_reaches_its_receiver_signed(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    await subscribe(engine, receiver.url())
    await plan(engine)
    await eventually(stands(engine, "delivered", 1))
    [got] = receiver.got
    message = got.verified(SECRET.reveal())
    assert message["type"] == "recalibration.firing"
    assert message["timestamp"] == MOMENT.isoformat().replace("+00:00", "Z")
    assert message["data"]["pool"] == "engineering"
    assert got.event == recalibration("r0").event_id
    delivery, [attempt] = await only(engine)
    assert (delivery.status, delivery.reason) == (200, "answered 200")
    assert (attempt.outcome, attempt.status, attempt.answer) == ("delivered", 200, "thanks")


async def test_a_failure_is_tried_again_under_the_same_id(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    await subscribe(engine, receiver.answer("hook", 500, 200))
    await plan(engine)
    await eventually(stands(engine, "pending", 1))
    waiting, _ = await only(engine)
    assert timedelta(seconds=3) < waiting.due - waiting.created < timedelta(seconds=30)
    await make_due(engine)
    await eventually(stands(engine, "delivered", 2))
    first, second = receiver.got
    assert first.event == second.event
    assert first.body == second.body
    second.verified(SECRET.reveal())
    _, log = await only(engine)
    assert [(line.status, line.outcome, line.answer) for line in log] == [
        (500, "again", "this is 500"),
        (200, "delivered", "this is 200"),
    ]


async def test_retry_after_is_waited_for(engine: AsyncEngine, receiver: Receiver, worker: Worker) -> None:
    await subscribe(engine, receiver.answer("hook", with_headers(503, Retry_After="7200")))
    await plan(engine)
    await eventually(stands(engine, "pending", 1))
    delivery, _ = await only(engine)
    assert timedelta(hours=2) <= delivery.due - delivery.created < timedelta(hours=2.1)
    assert "asked to wait 7200 s" in delivery.reason


async def test_a_refused_message_is_given_up_and_can_be_replayed(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    await subscribe(engine, receiver.answer("hook", 400, 200))
    await plan(engine)
    await eventually(stands(engine, "given-up", 1))
    delivery, _ = await only(engine)
    assert "400" in delivery.reason
    assert await Deliveries(engine).replay(delivery.id) is not None
    await eventually(stands(engine, "delivered", 1))
    assert receiver.got[0].event == receiver.got[1].event
    assert len((await only(engine))[1]) == 2


async def test_how_long_a_change_takes_to_its_delivery_is_measured_once(
    engine: AsyncEngine, receiver: Receiver
) -> None:
    """By the system's clock; not what nothing newly happened for, and not what is sent again on demand."""
    await subscribe(engine, receiver.url())
    clock = VirtualClock(MOMENT + timedelta(seconds=40), 0.0, datetime.now(UTC))
    happened = round(MOMENT.timestamp() * 1000)
    told = [
        Arrival(recalibration("r0"), datetime.now(UTC), Passage(None, happened), happened),
        Arrival(recalibration("r1"), datetime.now(UTC)),
    ]
    before, arrived = observed("event_to_delivery"), observed("received_to_delivery")
    await Recalibrations(engine).take_in(told)
    async with working(engine, clock=clock):
        await eventually(lambda: over(engine))
        await eventually(lambda: observed("event_to_delivery") == (before[0] + 1, before[1] + 40))
        for delivery in await Deliveries(engine).listed(limit=10):
            assert await Deliveries(engine).replay(delivery.id) is not None
        await eventually(lambda: len(receiver.got) == 4)
        await eventually(lambda: over(engine))
    assert observed("event_to_delivery") == (before[0] + 1, before[1] + 40)
    assert observed("received_to_delivery")[0] == arrived[0] + 1


def observed(name: str) -> tuple[float, float]:
    """How often a latency was observed, and their sum."""
    count, total = (
        notifier_series.get_sample_value(f"headroom_notifier_{name}_seconds_{of}") for of in ("count", "sum")
    )
    return count or 0.0, total or 0.0


async def over(engine: AsyncEngine) -> bool:
    return all(one.state == "delivered" for one in await Deliveries(engine).listed(limit=10))


async def test_a_receiver_that_is_gone_ends_its_subscription_and_says_so(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    gone = await subscribe(engine, receiver.answer("hook", 410))
    other = await subscribe(engine, receiver.url("other"))
    await plan(engine, 6)

    async def settled() -> bool:
        return not await Deliveries(engine).listed(limit=50, state="pending")

    await eventually(settled)
    ended = await Subscriptions(engine).get(gone.id)
    assert ended is not None
    assert not ended.enabled
    assert "410" in (ended.disabled_reason or "")
    assert len(await Deliveries(engine).listed(limit=50, subscription=gone.id, state="given-up")) == 6
    assert len(await Deliveries(engine).listed(limit=50, subscription=other.id, state="delivered")) == 6
    assert "subscription.disabled" in [entry.type for entry in await Feed(engine).after(0, 50)]
    await Recalibrations(engine).take_in(arrivals(recalibration("later")))
    assert len(await Deliveries(engine).listed(limit=50, subscription=gone.id)) == 6


async def test_receivers_that_hang_hold_up_nobody_else(engine: AsyncEngine, receiver: Receiver) -> None:
    for n in range(10):
        await subscribe(engine, receiver.answer(f"hang{n}", receiver.hang))
    await subscribe(engine, receiver.url("quick"))
    await plan(engine, 30)
    async with working(engine, timeout=60.0):
        await eventually(lambda: len(receiver.at("quick")) == 30)
        for n in range(10):
            assert len(receiver.at(f"hang{n}")) <= 4
        assert sum(len(receiver.at(f"hang{n}")) for n in range(10)) > 10


async def test_what_had_no_room_is_made_as_soon_as_there_is_some(engine: AsyncEngine, receiver: Receiver) -> None:
    await subscribe(engine, receiver.url("narrow"))
    await plan(engine, 30)
    async with working(engine, poll=3600.0):
        await eventually(lambda: len(receiver.at("narrow")) == 30)


async def test_during_a_rotation_both_secrets_verify(engine: AsyncEngine, receiver: Receiver, worker: Worker) -> None:
    subscription = await subscribe(engine, receiver.url())
    fresh = secret_of(bytes(32))
    until = await Subscriptions(engine).rotate(subscription.id, fresh, timedelta(hours=1))
    assert until is not None
    await plan(engine)
    await eventually(stands(engine, "delivered", 1))
    [got] = receiver.got
    got.verified(SECRET.reveal())
    got.verified(fresh.reveal())
    assert len(got.headers["webhook-signature"].split()) == 2


async def test_without_overlap_only_the_new_secret_signs(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    subscription = await subscribe(engine, receiver.url())
    fresh = secret_of(bytes(32))
    await Subscriptions(engine).rotate(subscription.id, fresh, timedelta())
    await plan(engine)
    await eventually(stands(engine, "delivered", 1))
    [got] = receiver.got
    got.verified(fresh.reveal())
    assert len(got.headers["webhook-signature"].split()) == 1


async def test_a_paused_subscription_keeps_its_deliveries_until_it_goes_on(
    engine: AsyncEngine, receiver: Receiver, worker: Worker
) -> None:
    paused = await subscribe(engine, receiver.url())
    await subscribe(engine, receiver.url("other"))
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    await eventually(lambda: len(receiver.got) == 2)
    await Subscriptions(engine).change(paused.id, enabled=False)
    await Deliveries(engine).plan_test(paused.id, MOMENT)
    await plan(engine)
    await eventually(lambda: len(receiver.at("other")) == 2)
    assert len(receiver.at("hook")) == 1
    await Subscriptions(engine).change(paused.id, enabled=True)
    await eventually(lambda: len(receiver.at("hook")) == 2)


async def take(queue: Queue) -> list[int]:
    leased = await queue.take(room=100, per_endpoint=100, under_way={}, mine=[])
    return [one.id for one in leased]


async def test_two_workers_never_hold_the_same_delivery(engine: AsyncEngine) -> None:
    await subscribe(engine, "https://hooks.example.com/in")
    await plan(engine, 50)
    workers = [Queue(engine, uuid.uuid4(), timedelta(seconds=LEASE)) for _ in range(4)]
    shares = await asyncio.gather(
        *(queue.take(room=7, per_endpoint=7, under_way={}, mine=[]) for queue in workers for _ in range(3))
    )
    held = [one.id for share in shares for one in share]
    assert len(held) == len(set(held)) == 50


async def test_a_lease_that_ran_out_is_taken_over_and_its_old_holder_cannot_settle(engine: AsyncEngine) -> None:
    await subscribe(engine, "https://hooks.example.com/in")
    await plan(engine)
    first, second = (
        Queue(engine, uuid.uuid4(), timedelta(seconds=0.2)),
        Queue(engine, uuid.uuid4(), timedelta(seconds=9)),
    )
    [leased] = await first.take(room=1, per_endpoint=1, under_way={}, mine=[])
    assert await take(second) == []
    await eventually(lambda: take(second))
    settlement = Settlement(leased, Attempt(MOMENT, timedelta(), 200, ""), Delivered("answered 200"))
    assert await first.settle([settlement]) == set()
    delivery, [line] = await only(engine)
    assert (delivery.state, line.outcome) == ("pending", "lost")


async def test_a_worker_that_stops_gives_its_leases_back(engine: AsyncEngine, receiver: Receiver) -> None:
    await subscribe(engine, receiver.answer("hook", receiver.hang))
    await plan(engine)
    async with working(engine, timeout=60.0):
        await eventually(lambda: receiver.got)
    assert len(await take(Queue(engine, uuid.uuid4(), timedelta(seconds=9)))) == 1


async def test_a_long_attempt_keeps_its_lease(engine: AsyncEngine, receiver: Receiver) -> None:
    await subscribe(engine, receiver.answer("hook", receiver.hang))
    await plan(engine)
    rival = Queue(engine, uuid.uuid4(), timedelta(seconds=9))
    async with working(engine, timeout=2.0, lease=0.5):
        await eventually(lambda: receiver.got)

        async def settled_without_rival() -> bool:
            assert await take(rival) == []
            return (await only(engine))[0].attempts == 1

        await eventually(settled_without_rival, every=0.02)
    delivery, [line] = await only(engine)
    assert (delivery.state, line.outcome) == ("pending", "again")


async def test_a_lease_whose_answer_was_lost_runs_out_although_the_worker_lives(
    engine: AsyncEngine, receiver: Receiver
) -> None:
    """The connection broke between the lease and its answer: nobody attempts it, and it must not be held for ever."""
    await subscribe(engine, receiver.url())
    await plan(engine, 2)
    queue = Queue(engine, uuid.uuid4(), timedelta(seconds=1))

    async def take(room: int, mine: list[int]) -> list[int]:
        return [one.id for one in await queue.take(room=room, per_endpoint=2, under_way={}, mine=mine)]

    [known] = await take(1, [])
    [lost] = await take(1, [known])

    async def free_again() -> bool:
        await queue.renew([known])
        return await take(2, [known]) == [lost]

    await eventually(free_again, within=5.0)
    other = Queue(engine, uuid.uuid4(), timedelta(seconds=1))
    assert await other.take(room=2, per_endpoint=2, under_way={}, mine=[]) == []

"""The way of one deal: one deal posted over HTTP walks all thirteen stops of the running system, and the answer back.

The numbers: implementation has 40 hours a week. The deal asks 120 hours, half of them in each of 2026-W23 and W24, and
is won with a probability of 0.9: 54 expected hours on 40, a utilisation of 1.35. Contractors for 30 hours a week bring
it to 54 on 70 = 0.77.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
import sqlalchemy as sa

from headroom.local.system import LocalSystem
from headroom.receiver import Delivery, Receiver
from shared.db import create_engine
from shared.schemas import cell, deal, decision, episode, frame, position, recalibration
from shared.settings import ClockSettings
from shared.topics import (
    CELLS,
    DEAD_LETTERS,
    DEALS,
    DECISIONS,
    EPISODES,
    FRAMES,
    INBOX,
    POSITIONS,
    RECALIBRATIONS,
    Topic,
)
from tests.e2e.topics import Seen, records
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

PLAN = """
plan: walk
currency: EUR
timezone: UTC
start: 2026-W18
horizon_weeks: 12
people:
  owner: {name: Head of Implementation, email: owner@example.com}
  boss: {name: Chief Operating Officer}
stages:
  commit: {class: open, probability: 0.9}
  won: {class: won}
pools:
  implementation:
    function: delivery
    kind: work
    unit: hours
    owner: owner
    escalation: [boss]
    capacity: {per_week: 40}
    hire: {lead_weeks: 2, hours: 40}
products:
  service:
    needs:
      - {pool: implementation, effort: 120, curve: {shape: flat, weeks: 2}}
triggers:
  - trigger: overcommitted
    watch: position
    where: {pool: implementation}
    when: utilisation > 1.0
    clear: utilisation < 0.9
    severity: critical
    ask: {owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}
"""
DEAL = {
    "specversion": "1.0",
    "type": "com.headroom.deal.changed",
    "source": "crm",
    "id": "42-created",
    "subject": "42",
    "time": "2026-05-04T08:00:00Z",
    "data": {
        "name": "One deal",
        "stage": "commit",
        "close": "2026-06-01",
        "amount": 20000,
        "currency": "EUR",
        "lines": [{"product": "service", "quantity": 1, "amount": 20000}],
    },
}
BREACHED = ["2026-W23", "2026-W24"]
DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Walk:
    """A running system, a receiver that is subscribed to it, and how to look into its topics."""

    system: LocalSystem
    receiver: Receiver
    http: aiohttp.ClientSession
    kafka: str
    prefix: str

    async def records(self, topic: Topic) -> list[Seen]:
        return await records(self.kafka, self.prefix, topic)

    async def get(self, url: str) -> Any:
        async with self.http.get(url) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, url: str, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
        async with self.http.post(url, data=json.dumps(body), headers={"Content-Type": content_type}) as answer:
            return answer.status, await answer.json()

    async def event(self, event: dict[str, Any]) -> int:
        status, _ = await self.post(f"{self.system.door_url}/v1/events", event, "application/cloudevents+json")
        return status

    async def state_of(self, week: str) -> dict[str, Any]:
        found = await self.get(f"{self.system.capacity_url}/v1/positions?pool=implementation&from={week}&to={week}")
        (row,) = found["rows"]
        return dict(row)


@pytest.fixture
async def walk(kafka: str, topic_prefix: str, database_url: str) -> AsyncIterator[Walk]:
    environment = {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka,
        "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": "2",
        "HEADROOM_DATABASE_URL": database_url,
        "HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]',
    }
    async with LocalSystem(environment=environment, clock=ClockSettings(as_of=DAY)) as system, Receiver() as receiver:
        headers = {"Authorization": f"Bearer {system.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            yield Walk(system, receiver, http, kafka, topic_prefix)


async def test_the_way_of_one_deal(walk: Walk) -> None:
    await publish_the_plan(walk)
    await subscribe(walk)

    # 1 the door, 2 inbox.v1
    assert await walk.event(DEAL) == 202
    (kept,) = await soon(lambda: walk.records(INBOX), what="the deal in inbox.v1")
    assert (kept.key, json.loads(kept.value or b"")) == (b"crm/42", DEAL)
    assert kept.headers["headroom_kind"] == b"deal"
    assert not any(b"hr_" in value for value in kept.headers.values()), "the key must not be kept"

    # 3 normalise, 4 deals.v1
    known = await soon(lambda: rated(walk), what="the deal, with its rate to the plan's currency, in deals.v1")
    whole = deal.decode(known.value or b"")
    assert (known.key, whole.id, whole.stage, whole.rate) == (b"crm/42", "crm/42", "commit", 1.0)
    assert whole.fields["stage"].time == int(datetime.fromisoformat(DEAL["time"]).timestamp() * 1000)

    # 5 fold, 6 cells.v1
    await soon(lambda: cells_of(walk), what="the cell and a mark after it in cells.v1")
    (only,) = [c for c in await cells_of(walk) if c.stage.count]
    assert (only.key.product, only.key.stage, only.key.week) == ("service", "commit", "2026-W23")
    assert (only.stage.q, only.stage.net) == (1.0, 20000.0)
    assert [member.deal for member in only.members] == ["crm/42"]

    # 7 project, 8 frames.v1, positions.v1 and PostgreSQL with its API
    states = await soon(lambda: overloaded_in_frames(walk), what="the overload in frames.v1")
    for week in BREACHED:
        state = states[week]
        assert (state.capacity, state.expected, state.utilisation) == (40.0, pytest.approx(54.0), pytest.approx(1.35))
        assert [(top.deal, top.probability) for top in state.top] == [("crm/42", pytest.approx(0.9))]
    table = {p.week: p for p in await positions_of(walk)}
    assert table["2026-W23"].expected == pytest.approx(54.0)
    shown = await soon(lambda: expecting(walk, "2026-W23", 54.0), what="the position in the API")
    assert shown["utilisation"] == pytest.approx(1.35)
    one = await walk.get(f"{walk.system.capacity_url}/v1/deals/crm/42")
    assert {entry["week"] for entry in one["positions"]} == set(BREACHED)

    # 9 triggers, 10 recalibrations.v1
    (row,) = await soon(lambda: episodes_of(walk, "firing"), what="the episode in episodes.v1")
    assert (row.trigger, row.scope, row.number, row.weeks) == ("overcommitted", "implementation", 1, BREACHED)
    (asked,) = await recalibrations_of(walk)
    assert (asked.id, asked.kind, asked.severity) == (row.recalibration, "firing", "critical")
    assert [person.id for person in asked.owners] == ["owner"]
    assert [top.deal for top in asked.cause] == ["crm/42"]
    assert asked.size > 0
    assert asked.decide_by is not None
    assert asked.last_responsible is not None

    # 11 the delivery planned in PostgreSQL, 12 the signed webhook
    delivery = await soon(lambda: arrived(walk, "firing"), what="the firing at the receiver")
    assert delivery.id == asked.event_id
    assert msgspec.convert(delivery.data, recalibration.Recalibration) == asked
    logged = await soon(lambda: delivered_in_log(walk, asked.event_id), what="the delivery in the log")
    assert (logged["attempts"], logged["status"]) == (1, 204)
    assert await planned_in_database(walk, asked.event_id) == 1

    # 13 acknowledge, decide: decisions.v1, and the effects back in capacity
    answers = f"{walk.system.notifier_url}/v1/recalibrations/{asked.id}"
    assert (await walk.post(f"{answers}/acknowledge", {"by": "owner"}))[0] == 201
    effects = [{"pool": "implementation", "weeks": BREACHED, "amount": 30}]
    decided = {"by": "owner", "why": "contractors for two weeks", "action": "contractors", "effects": effects}
    assert (await walk.post(f"{answers}/decide", decided))[0] == 201
    said = await soon(lambda: decisions_of(walk, 2), what="both answers in decisions.v1")
    assert [(d.kind, d.by, d.recalibration) for d in said] == [
        ("acknowledged", "owner", asked.id),
        ("decided", "owner", asked.id),
    ]
    helped = await soon(lambda: capacity_is(walk, "2026-W23", 70.0), what="the decided hours in the API")
    assert (helped["by_plan"], helped["decided"]) == (40.0, 30.0)
    assert helped["utilisation"] == pytest.approx(54 / 70)
    await soon(lambda: arrived(walk, "mitigated"), what="the episode mitigated, at the receiver")

    # the metric ends the episode: the owner reports the hours as capacity, so they no longer hang on a promise
    first, last = BREACHED
    assert await walk.event(report_of(first)) == 202
    await soon(lambda: capacity_is(walk, first, 70.0 + 30.0), what="the first report in the API")
    assert await walk.event(report_of(last, confirms=asked.id)) == 202
    resolved = await soon(lambda: arrived(walk, "resolved"), what="the episode resolved, at the receiver")
    assert resolved.data["id"] == asked.id
    assert await episodes_of(walk, "clear")

    # nothing was refused on the way, and nothing came twice
    assert (walk.receiver.refused, walk.receiver.repeated) == (0, 0)
    assert await walk.records(DEAD_LETTERS) == []


async def publish_the_plan(walk: Walk) -> None:
    headers = {"Content-Type": "application/yaml"}
    async with walk.http.put(f"{walk.system.door_url}/v1/plans/walk", data=PLAN, headers=headers) as answer:
        assert answer.status == 201, await answer.text()


async def subscribe(walk: Walk) -> None:
    body = {"name": "the walk", "url": walk.receiver.url}
    status, made = await walk.post(f"{walk.system.notifier_url}/v1/subscriptions", body)
    assert status == 201
    walk.receiver.trust(made["secret"])


def report_of(week: str, confirms: str | None = None) -> dict[str, Any]:
    """The owner's report of the hours in ``week``; with ``confirms`` those decided are among the reported ones."""
    return {
        "specversion": "1.0",
        "type": "com.headroom.capacity.reported",
        "source": "ops",
        "id": f"report-{week}",
        "subject": f"implementation-{week}",
        "time": "2026-05-05T08:00:00Z",
        "data": {
            "kind": "capacity",
            "pool": "implementation",
            "week": week,
            "amount": 70,
            "reporter": "owner",
            **({"confirms": confirms} if confirms else {}),
        },
    }


async def soon(question: Callable[[], Any], *, what: str) -> Any:
    """Each stop is a matter of milliseconds; a busy machine may take its time."""
    return await eventually(question, within=60.0, what=what)


async def rated(walk: Walk) -> Seen | None:
    """The deal once its rate is filled in, which a normaliser that has yet to hear of the plan does a moment later."""
    seen = await walk.records(DEALS)
    return seen[-1] if seen and deal.decode(seen[-1].value or b"").rate is not None else None


async def cells_of(walk: Walk) -> list[cell.Cell]:
    """Every cell that a mark follows."""
    seen = await walk.records(CELLS)
    marked = [s.offset for s in seen if s.key is not None and s.key.endswith(b'"mark"]')]
    found = [s for s in seen if s.value is not None and not (s.key or b"").endswith(b'"mark"]')]
    return [cell.decode_cell(s.value or b"") for s in found if s.offset < max(marked, default=-1)]


async def overloaded_in_frames(walk: Walk) -> dict[str, position.Position]:
    """The newest state of the breached weeks, once frames hold an overload."""
    table: dict[str, position.Position] = {}
    for seen in await walk.records(FRAMES):
        table |= {p.week: p for p in frame.decode(seen.value or b"").positions}
    over = {week: table[week] for week in BREACHED if week in table and (table[week].utilisation or 0) > 1}
    return over if len(over) == len(BREACHED) else {}


async def positions_of(walk: Walk) -> list[position.Position]:
    return [position.decode(seen.value).position for seen in await walk.records(POSITIONS) if seen.value]


async def episodes_of(walk: Walk, phase: episode.Phase) -> list[episode.Episode]:
    """The episode's row if its newest state is in ``phase``."""
    rows = [s for s in await walk.records(EPISODES) if s.value is not None and s.key != episode.EVALUATED_KEY]
    return [row for row in [episode.decode(s.value or b"") for s in rows][-1:] if row.phase == phase]


async def recalibrations_of(walk: Walk) -> list[recalibration.Recalibration]:
    return [recalibration.decode(seen.value) for seen in await walk.records(RECALIBRATIONS) if seen.value]


async def decisions_of(walk: Walk, count: int) -> list[decision.Decision]:
    said = [decision.decode(seen.value or b"") for seen in await walk.records(DECISIONS)]
    return said if len(said) == count else []


def arrived(walk: Walk, kind: recalibration.Kind) -> Delivery | None:
    """The message of that kind, whose signature the receiver has verified."""
    return next((d for d in walk.receiver.deliveries if d.type == f"recalibration.{kind}"), None)


async def delivered_in_log(walk: Walk, event: str) -> dict[str, Any] | None:
    log = await walk.get(f"{walk.system.notifier_url}/v1/deliveries?event={event}&state=delivered")
    return next(iter(log["items"]), None)


async def planned_in_database(walk: Walk, event: str) -> int:
    engine = create_engine(walk.system.database_url)
    try:
        async with engine.connect() as connection:
            query = sa.text("SELECT count(*) FROM deliveries WHERE event = :event")
            return int((await connection.execute(query, {"event": event})).scalar_one())
    finally:
        await engine.dispose()


async def expecting(walk: Walk, week: str, hours: float) -> dict[str, Any] | None:
    state = await walk.state_of(week)
    return state if abs(state["expected"] - hours) < 1e-6 else None


async def capacity_is(walk: Walk, week: str, hours: float) -> dict[str, Any] | None:
    state = await walk.state_of(week)
    return state if abs(state["capacity"] - hours) < 1e-6 else None

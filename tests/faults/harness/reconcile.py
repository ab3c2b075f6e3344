"""Holds everything the system has made of the load against the recompute: nothing lost, nothing there twice.

``Reconciler.differences`` is asked again and again until there are none or time is up; each look reads on in the log.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import Any, Literal

from shared import topics
from tests.faults.harness import answers, plan, recompute
from tests.faults.harness.differences import Difference, missing_and_extra, same
from tests.faults.harness.load import Load
from tests.faults.harness.log import Log, Seen
from tests.faults.harness.receiver import Receiver
from tests.faults.harness.system import PARTITIONS, System
from tests.groups import committed
from tests.unit.capacity import oracle


@dataclass
class Reconciler:
    """Everything that is compared, and how far it has been read."""

    system: System
    load: Load
    receiver: Receiver
    log: Log
    every_deal: bool = False
    """Whether the API is asked for each deal, or only for some."""
    inbox: recompute.Inbox = field(default_factory=recompute.Inbox)
    judged: recompute.Evaluation = field(default_factory=recompute.Evaluation)
    decided: recompute.Decisions = field(default_factory=recompute.Decisions)
    _read: Counter[str] = field(default_factory=Counter)
    _versions: dict[bytes, list[int]] = field(default_factory=dict)
    _published: list[tuple[bytes, dict[str, float]]] = field(default_factory=list)

    async def differences(self) -> list[Difference]:
        """The first kind of difference that there is now; none when the system is at rest and all is well."""
        await self.log.catch_up()
        self.inbox.take(self._new(topics.INBOX))
        self.decided.take(self._new(topics.DECISIONS))
        for seen in self._new(topics.FRAMES):
            self.judged.take(seen.offset, seen.json)
        for seen in self._new(topics.HISTORY):
            if seen.headers["ce_type"] == b"headroom.deal.v1":
                self._versions.setdefault(seen.key or b"", []).append(seen.json["version"])
            elif seen.headers["ce_type"] == b"headroom.plan.v1":
                self._published.append((seen.key or b"", _capacities(seen.json)))
        for look in self._looks():
            if found := list(look()):
                return found
        asked = answers.differences(self.system, self.judged, self.inbox.deals(), every_deal=self.every_deal)
        for looks in (self._offsets(), asked):
            if found := [difference async for difference in looks]:
                return found
        return []

    def _new(self, topic: Any) -> list[Seen]:
        """The records of a stream since the last look."""
        start, self._read[topic.name] = self._read[topic.name], len(self.log.streams[topic])
        return self.log.streams[topic][start:]

    def _looks(self) -> list[Callable[[], Iterator[Difference]]]:
        """In the order of the way of a deal: what is wrong early explains what is wrong later."""
        return [
            self._intake,
            self._plans,
            self._deals,
            self._history,
            self._reports_and_signals,
            self._dead_letters,
            self._marks,
            self._cells,
            self._positions,
            self._hours,
            self._forecasts,
            self._recalibrations,
            self._episodes,
            self._deliveries,
            self._decisions,
        ]

    # -- ingest

    def _intake(self) -> Iterator[Difference]:
        for event in sorted(self.load.acknowledged.events - self.inbox.ids):
            yield Difference("lost", "inbox", f"{event}, which the door acknowledged")
        if len(self.inbox.poison) < self.load.acknowledged.poison:
            yield Difference("lost", "inbox", "poison that the door acknowledged")

    def _plans(self) -> Iterator[Difference]:
        """Every plan that the door acknowledged was published, the last of them last, each content under one name."""
        acknowledged = self.load.acknowledged.plans
        contents = [capacities for _, capacities in self._published]
        for capacities in acknowledged:
            if capacities not in contents:
                yield Difference("lost", "history", f"a plan that the door acknowledged: {capacities}")
        names: dict[bytes, dict[str, float]] = {}
        for name, capacities in self._published:
            if names.setdefault(name, capacities) != capacities:
                yield Difference("doubled", "history", f"{name.decode()} is two plans")
        found = {name: _capacities(plan) for name, plan in self.log.table(topics.PLANS).items()}
        yield from same("plans", found, names)
        if self.planned() != acknowledged[-1]:
            yield Difference("lost", "plans", f"in force is {self.planned()}, not {acknowledged[-1]}")

    def _deals(self) -> Iterator[Difference]:
        found = {key.decode(): recompute.as_said(deal) for key, deal in self.log.table(topics.DEALS).items()}
        yield from same("deals", found, self.inbox.deals())

    def _history(self) -> Iterator[Difference]:
        """Each version of each deal was written once, in order, and the last one is on ``deals.v1``."""
        for key, deal in self.log.table(topics.DEALS).items():
            versions = self._versions.get(key, [])
            for number in sorted(set(range(1, deal["version"] + 1)) - set(versions)):
                yield Difference("lost", "history", f"{key.decode()}@{number}")
            if len(versions) > deal["version"] or versions != sorted(versions):
                yield Difference(
                    "doubled", "history", f"{key.decode()}: {versions[-5:]}, the deal is {deal['version']}"
                )

    def _reports_and_signals(self) -> Iterator[Difference]:
        found = {}
        for report in self.log.table(topics.REPORTS).values():
            data = {"withdrawn": False, "kind": "capacity", "amount": None} | report
            found[report["pool"], report["week"], report["object"]] = (data["amount"], data["withdrawn"])
        wanted = {place: (data["amount"], data["withdrawn"]) for place, data in self.inbox.reports().items()}
        yield from same("reports", found, wanted)
        # Readers of signals and dead letters drop ids they have seen.
        signals = {seen.headers["ce_id"].decode() for seen in self.log.streams[topics.SIGNALS]}
        yield from missing_and_extra("signals", signals, self.inbox.signals)

    def _dead_letters(self) -> Iterator[Difference]:
        found = {seen.headers["ce_id"].decode() for seen in self.log.streams[topics.DEAD_LETTERS]}
        yield from missing_and_extra("dead letters", found, self.inbox.poison)

    # -- capacity

    def _marks(self) -> Iterator[Difference]:
        for partition in range(PARTITIONS):
            raw = self.log.tables[topics.CELLS].get(json.dumps([partition, "mark"], separators=(",", ":")).encode())
            upto, last = (json.loads(raw)["upto"] if raw else 0), self.log.last.get((topics.DEALS, partition), -1)
            if upto <= last:
                yield Difference("lost", "cells", f"deals {upto} to {last} of partition {partition}")

    def _cells(self) -> Iterator[Difference]:
        marks, cells = {}, {}
        for key, value in self.log.table(topics.CELLS).items():
            partition, what = json.loads(key)
            if what == "mark":
                marks[partition] = value
            else:
                cells[partition, *what] = value
        live = {
            key: cell
            for key, cell in cells.items()
            if cell["members"] and cell["generation"] == marks[cell["partition"]]["generation"]
        }
        wanted = self._wanted_cells()
        yield from missing_and_extra("cells", live, wanted)
        for key in live.keys() & wanted.keys():
            yield from _sums(key, live[key], wanted[key])

    def _wanted_cells(self) -> dict[tuple[Any, ...], Any]:
        """The exact sums of the deals as they lie in each partition."""
        homes = {seen.key: seen.partition for seen in self.log.streams[topics.INBOX]}
        deals: dict[int, dict[str, bytes | None]] = {partition: {} for partition in range(PARTITIONS)}
        for key, value in self.log.tables[topics.DEALS].items():
            deals[homes[key]][key.decode()] = value
        return {
            (partition, *cell): sums
            for partition, some in deals.items()
            for cell, sums in oracle.cells_of(some).items()
        }

    def _positions(self) -> Iterator[Difference]:
        rows = [record["position"] for record in self.log.table(topics.POSITIONS).values()]
        found = {(row["pool"], row["week"]): row for row in rows}
        yield from same("positions", found, self.judged.table.rows)

    def _forecasts(self) -> Iterator[Difference]:
        rows = [record["forecast"] for record in self.log.table(topics.FORECASTS).values()]
        found = {(row["period"], row["segment"]): row for row in rows}
        yield from same("forecasts", found, self.judged.table.forecasts)
        wanted = recompute.money(self.inbox.deals().values())
        for key in found.keys() | wanted.keys():
            row, sums = found.get(key, {}), wanted.get(key, (0.0, 0.0))
            for name, value in zip(("closed", "expected", "bookings"), (*sums, sum(sums)), strict=True):
                if not isclose(row.get(name, 0.0), value, rel_tol=1e-8, abs_tol=1e-6):
                    yield Difference("lost", "forecasts", f"{key}: {name} is {row.get(name)}, not {value}")

    def _hours(self) -> Iterator[Difference]:
        """Base, booked and expected hours and capacity of every position, added up line by line."""
        asked, reported = recompute.hours_asked(self.inbox.deals().values()), self.inbox.reported()
        in_force, added = self.planned(), self.decided.added(self.judged.table.now)
        for (pool, week), row in self.judged.table.rows.items():
            booked, expected = asked.get((pool, week), (0.0, 0.0))
            base = plan.BASE.get(pool, 0.0)
            capacity = reported.get((pool, week), in_force[pool]) + added.get((pool, week), 0.0)
            wanted = {
                "base": base, "booked": booked, "expected": expected, "capacity": capacity,
                "utilisation": (base + booked + expected) / capacity,
            }  # fmt: skip
            for name, value in wanted.items():
                if not isclose(row.get(name, 0.0), value, rel_tol=1e-8, abs_tol=1e-8):
                    yield Difference("lost", "positions", f"{pool} {week}: {name} is {row.get(name)}, not {value}")
        shown = {week for _, week in self.judged.table.rows}
        for place in asked.keys() - self.judged.table.rows.keys():
            if any(asked[place]) and place[1] in shown:
                yield Difference("lost", "positions", str(place))

    def planned(self) -> dict[str, float]:
        """What each pool can do a week by the plan that was published last."""
        *_, last = self.log.table(topics.PLANS).values()
        return _capacities(last)

    # -- triggers and notifier

    def _recalibrations(self) -> Iterator[Difference]:
        made = [seen.json for seen in self.log.streams[topics.RECALIBRATIONS]]
        found = [recompute.Told(one["event_id"], one["kind"], one["scope"], one.get("frame", 0)) for one in made]
        yield from missing_and_extra("recalibrations", found, self.judged.told)

    def _episodes(self) -> Iterator[Difference]:
        rows = [row for row in self.log.table(topics.EPISODES).values() if "scope" in row]
        found = {row["scope"]: (row["number"], row["transition"], row["phase"]) for row in rows}
        wanted = {
            pool: (episode.number, episode.transition, episode.phase)
            for pool, episode in self.judged.episodes.items()
            if episode.number
        }
        yield from same("episodes", found, wanted)

    def _deliveries(self) -> Iterator[Difference]:
        told = {told.event_id for told in self.judged.told}
        yield from missing_and_extra("deliveries", self.receiver.bodies, told)
        for identity in self.receiver.altered:
            yield Difference("doubled", "deliveries", f"{identity} came again with another body")

    def _decisions(self) -> Iterator[Difference]:
        for identity in sorted(self.receiver.acknowledged - self.decided.ids):
            yield Difference("lost", "decisions", f"{identity}, which the notifier acknowledged")

    # -- what is asked of the broker

    async def _offsets(self) -> AsyncIterator[Difference]:
        """Whether what was read is committed, too."""
        for group, topic in (
            ("normalise", topics.INBOX),
            ("notifier", topics.RECALIBRATIONS),
            ("views", topics.FRAMES),
        ):
            places = await committed(self.system.settings, group, topic)
            for partition in range(topic.partitions(PARTITIONS)):
                upto, end = places.get(partition, 0), self.log.ends[topic, partition]
                if upto < end:
                    yield Difference("lost", f"offsets of {group}", f"{upto} of {end} in {topic.name}[{partition}]")


def _capacities(published: Mapping[str, Any]) -> dict[str, float]:
    """What each pool can do a week by a plan as it was published."""
    return {pool: said["capacity"]["per_week"] for pool, said in published["plan"]["pools"].items()}


def _sums(key: tuple[Any, ...], found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Difference]:
    for part, names in (("own", oracle.OWN), ("stage", oracle.STAGE), ("listed", oracle.LISTED)):
        for name, value in zip(names, found[part], strict=True):
            if not isclose(value, float(wanted[part][name]), rel_tol=1e-9, abs_tol=1e-9):
                kind: Literal["lost", "doubled"] = "doubled" if value > wanted[part][name] else "lost"
                yield Difference(kind, "cells", f"{key}: {name} is {value}, not {float(wanted[part][name])}")
    if [member[:3] for member in found["members"]] != [list(member[:3]) for member in wanted["members"]]:
        yield Difference("lost", "cells", f"{key}: members {found['members']}, not {wanted['members']}")

"""How far each role is behind: from what its group has committed, from its marks, or as the process itself says.

Roles that carry a topic into something else commit where they are. Roles whose state lies on the log commit nothing:
the fold says in its marks how far it is; project and triggers only say it themselves.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec
from aiokafka.errors import KafkaError

from headroom.checks.finding import Finding
from headroom.checks.services import Answered
from headroom.log import Partition, about_group, admin, ends
from headroom.rebuild_places import COMMITTING, committed
from shared.errors import HeadroomError
from shared.schemas import cell as cells
from shared.settings import KafkaSettings
from shared.topics import CELLS, DEALS, Topic

ROLES = ("normalise", "fold", "project", "views", "triggers", "notifier")
LOOK_AGAIN_AFTER = 3.0
"""Seconds between two looks at a role that is behind; it commits or marks once a second."""

Place = tuple[str, int]


@dataclass(slots=True)
class Role:
    """One role's group: how many members, where it is and where its topics end, by (topic, partition).

    ``applied`` is empty for a role of which the log does not say; ``own`` is the lag a process told itself.
    """

    name: str
    members: int = 0
    applied: dict[Place, int] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)
    own: dict[Place, int] = field(default_factory=dict)

    @property
    def beyond(self) -> dict[Place, int]:
        """Places beyond the end of their topic, which was recreated or truncated."""
        return {place: at for place, at in self.applied.items() if at > self.ends.get(place, at)}

    @property
    def lag(self) -> dict[Place, int]:
        """Offsets behind, by place."""
        told = {place: max(0, self.ends.get(place, at) - at) for place, at in self.applied.items()}
        return told or self.own


async def look(kafka: KafkaSettings, answers: Iterable[Answered]) -> list[Finding]:
    """One finding for each role; a role that is behind is looked at twice, to tell slow from stuck."""
    told = {answer.name: answer for answer in answers}
    try:
        first = await _roles(kafka, told)
        if not any(any(role.lag.values()) for role in first):
            return [judge(role, role) for role in first]
        await asyncio.sleep(LOOK_AGAIN_AFTER)
        second = await _roles(kafka, told)
    except (KafkaError, HeadroomError) as error:
        means = "how far the roles are cannot be told"
        return [Finding("groups", "problem", str(error), means, "Look at broker and topics first")]
    return [judge(before, after) for before, after in zip(first, second, strict=True)]


def judge(before: Role, after: Role) -> Finding:
    """What a role's two looks come to."""
    check = f"role {after.name}"
    lag = {place: count for place, count in after.lag.items() if count > 0}
    behind = ", ".join(f"{topic}[{number}] {count}" for (topic, number), count in sorted(lag.items()))
    if after.beyond:
        where = ", ".join(f"{topic}[{number}] at {at}" for (topic, number), at in after.beyond.items())
        means = "the topic was recreated or truncated; the process stops rather than go on"
        return Finding(check, "problem", f"beyond the end of {where}", means, "Run `headroom rebuild all`")
    if after.members == 0:
        means = f"nobody does its part{f', it is behind by {behind}' if behind else ''}"
        return Finding(check, "problem", "no process runs", means, f"Start a {after.name} process; look into its log")
    running = f"{after.members} process{'es' if after.members > 1 else ''}"
    if not lag:
        known = "nothing behind" if after.applied or after.own else "how far it is, only it can say (--url)"
        return Finding(check, "ok", f"{running}, {known}")
    moved = any(after.applied.get(place, 0) > at for place, at in before.applied.items())
    if moved or not after.applied:
        return Finding(check, "note", f"{running}, behind by {behind}", "it moves: a load, or a restart a moment ago")
    means = f"it has not moved for {LOOK_AGAIN_AFTER:.0f} s"
    do = "Look into its log and at its /readyz; a process that stands for a minute ends itself and starts again"
    return Finding(check, "problem", f"{running}, behind by {behind}", means, do)


async def _roles(kafka: KafkaSettings, told: Mapping[str, Answered]) -> list[Role]:
    members = await _members(kafka)
    roles = {name: Role(name, members.get(name, 0)) for name in ROLES}
    for name, answer in told.items():
        if name in roles:
            roles[name].own = dict(answer.lag)
    deals = await _ends(kafka, DEALS)
    for name, topics in COMMITTING.items():
        role, places = roles[name], await committed(kafka, name)
        for topic in topics:
            role.ends |= deals if topic is DEALS else await _ends(kafka, topic)
        role.applied = {
            (topic.removeprefix(kafka.topic_prefix), number): at
            for (topic, number), at in places.items()
            if (topic.removeprefix(kafka.topic_prefix), number) in role.ends
        }
    roles["fold"].ends = deals
    marks = await _marks(kafka, len(deals))
    roles["fold"].applied = {(DEALS.name, number): upto for number, upto in marks.items()}
    return list(roles.values())


async def _members(kafka: KafkaSettings) -> dict[str, int]:
    found = {}
    async with admin(kafka) as client:
        for name in ROLES:
            # One group a request: aiokafka cannot read an answer about several.
            (answer,) = await about_group(partial(client.describe_consumer_groups, [kafka.topic_prefix + name]))
            (group,) = answer.to_object()["groups"]
            found[name] = len(group["members"])
    return found


async def _ends(kafka: KafkaSettings, topic: Topic) -> dict[Place, int]:
    found = await ends(kafka, topic, topic.partitions(kafka.partitions))
    return {(topic.name, number): end for number, end in enumerate(found)}


async def _marks(kafka: KafkaSettings, partitions: int) -> dict[int, int]:
    """Up to which offset of its deals each partition's last mark reaches; 0 for one without a mark."""
    keys = {cells.mark_record_key(number) for number in range(partitions)}
    found: dict[int, int] = {}
    async with Partition(kafka, CELLS, 0) as log:
        async for records in log.back():
            for record in reversed(records):
                if record.key in keys and record.value is not None:
                    mark = msgspec.json.decode(record.value, type=cells.Mark)
                    found.setdefault(mark.partition, mark.upto)
            if len(found) == partitions:
                break
    return {number: found.get(number, 0) for number in range(partitions)}

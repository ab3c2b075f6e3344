"""``recalibrations.v1``: what an episode asks of whom, by when, and why."""

from datetime import datetime
from typing import Literal

import msgspec

from shared.schemas.episode import Severity
from shared.schemas.position import TopDeal

TYPE = "headroom.recalibration.v1"

Kind = Literal["firing", "updated", "mitigated", "reopened", "resolved"]


class AskedPerson(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody of the plan's ``people``."""

    id: str
    name: str = ""
    email: str | None = None


class Week(msgspec.Struct, frozen=True, omit_defaults=True):
    """One breached week and its values then. ``missing`` is demand above capacity, in the pool's unit."""

    week: str
    capacity: float
    demand: float
    missing: float
    overload: float
    utilisation: float | None = None


class Stress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What more is asked of a pool: ``effort`` in its ``unit``, and that as a ``share`` of a week's capacity there."""

    pool: str
    effort: float
    unit: str = ""
    share: float | None = None


class Recalibration(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The whole request as it stands after its last transition, absolute.

    ``id`` stays the same through an episode; ``event_id`` is ``uuid5`` of trigger, scope, episode number and
    transition, so that a replay makes the same. ``from_week`` to ``to_week`` span all breached weeks; ``size`` is the
    effort missing there in ``unit``; ``cause`` names the deals with their shares. ``at`` is the ``now`` of the frame
    that made the transition. ``last_responsible`` is the latest moment at which a hire would still help, where the
    pool says how it hires. ``values`` are the fields the trigger's condition speaks of, where it is not about weeks or
    slips. ``stressed`` are the pools that a booking rate or milestone presses on beyond its trend or pace, hardest
    first. A ``grouped`` one is beyond its owners' alert budget of the week: it is to be told together with others.
    """

    id: str
    event_id: str
    kind: Kind
    transition: int
    trigger: str
    scope: str
    watch: str
    severity: Severity
    at: datetime
    fired: datetime
    plan: str
    summary: str
    pool: str | None = None
    work: str | None = None
    unit: str = ""
    from_week: str | None = None
    to_week: str | None = None
    size: float = 0.0
    slip_weeks: float | None = None
    weeks: list[Week] = []
    cause: list[TopDeal] = []
    others: float = 0.0
    owners: list[AskedPerson] = []
    inform: list[AskedPerson] = []
    escalation: list[AskedPerson] = []
    acknowledge_by: datetime | None = None
    decide_by: datetime | None = None
    last_responsible: datetime | None = None
    default_action: str | None = None
    actions: list[str] = []
    frame: int = 0
    values: dict[str, float | str] = {}
    stressed: list[Stress] = []
    grouped: bool = False


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Recalibration).decode

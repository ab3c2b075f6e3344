"""What one rule sees in one scope of the table: whether it is breached, whether it is clear, where, and by how much."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.triggers.domain.burn import Slacks
from services.triggers.domain.fields import Row
from services.triggers.domain.gap import missing, missing_together
from services.triggers.domain.rules import BOOK, Rule
from services.triggers.domain.sights import PoolSight, ReportSight, SignalSight
from services.triggers.domain.sights_of_sales import DealSight, ForecastSight, MilestoneSight
from services.triggers.domain.table import Table
from shared.numbers import number
from shared.schemas.episode import Episode
from shared.schemas.plan_conditions import Condition
from shared.schemas.position import Position
from shared.schemas.week import weeks_between

NOISE_OF_CAPACITY = 0.05
"""A gap that grows by less than this share of one week's capacity has not grown in a way worth saying."""
NOISE_OF_SLIP = 1.0
"""Weeks of slip below which a work item's slip has not grown in a way worth saying."""


@dataclass(frozen=True, slots=True)
class Observation:
    """``breach`` and ``clear`` are None when what is missing would decide them; ``clear`` also while nothing is firing.

    ``weeks`` are those breached now. ``size`` is the missing effort over all weeks of the episode still ahead, for work
    the slip in weeks; growth of it by less than ``noise`` is none. ``decided``: effects that no report has confirmed
    are part of it. ``why`` is for people.
    """

    breach: bool | None
    clear: bool | None = None
    weeks: tuple[str, ...] = ()
    size: float = 0.0
    noise: float = 0.0
    decided: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything there is to see: the table, and what was left of each pool's slack on the days before."""

    table: Table
    slacks: Slacks


def observe(rule: Rule, scope: str, scene: Scene, episode: Episode | None) -> Observation:
    """What ``rule`` sees in ``scope`` now; ``episode`` is the pending, firing or mitigated one there, if any."""
    if rule.trigger.watch == "position":
        return _observe_positions(rule, scope, scene.table, episode)
    row = row_of(rule, scope, scene)
    if row is None:
        return Observation(None, why=f"nothing is known of {scope}")
    held = rule.when.evaluate(row)
    clear = (None if held is None else not held) if rule.clear is None else rule.clear.evaluate(row)
    seen = Observation(breach=held, clear=False if held else clear, why=_values(rule, row))
    return _MORE[rule.trigger.watch](seen, rule, scope, scene) if rule.trigger.watch in _MORE else seen


def row_of(rule: Rule, scope: str, scene: Scene) -> Row | None:
    """The fields of the one thing that a scope is; None while nothing is known of it."""
    thing = _thing(rule, scope, scene)
    return None if thing is None else Row(rule.trigger.watch, thing, scene.table)


def _thing(rule: Rule, scope: str, scene: Scene) -> object | None:
    table, where = scene.table, rule.trigger.where
    match rule.trigger.watch:
        case "work":
            return table.work.get(scope)
        case "pool":
            ahead = table.from_now_on(scope, where.within_weeks)
            return PoolSight(rule.plan, table, scene.slacks, scope, ahead) if ahead and not _hole(ahead) else None
        case "report":
            return ReportSight(rule.plan, table, scope)
        case "signal":
            state = table.signal(str(where.kind), where.pool)
            return SignalSight(table, state) if state is not None else None
        case "deal":
            return DealSight(rule.plan, table, "" if scope == BOOK else scope)
        case "milestone":
            known = table.milestones.get(scope)
            return MilestoneSight(table, known) if known is not None else None
        case "forecast":
            expected = table.forecasts.get(scope)
            return ForecastSight(table, expected) if expected is not None else None
    return None


def values_of(rule: Rule, row: Row) -> dict[str, float | str]:
    """What the conditions speak of, as far as it is known."""
    known = {name: row[name] for name in sorted(rule.fields)}
    return {name: value for name, value in known.items() if value is not None}


def _values(rule: Rule, row: Row) -> str:
    known = values_of(rule, row)
    said = [f"{name} is {value if isinstance(value, str) else number(value)}" for name, value in known.items()]
    unknown = [f"{name} is unknown" for name in sorted(rule.fields - known.keys())]
    return ", ".join(said + unknown)


def _slip(seen: Observation, rule: Rule, scope: str, scene: Scene) -> Observation:
    state = scene.table.work[scope]
    why = f"{scope} is {state.slip_weeks:g} week{'' if state.slip_weeks == 1 else 's'} late"
    weeks = (state.due,) if seen.breach else ()
    return replace(seen, weeks=weeks, size=state.slip_weeks, noise=NOISE_OF_SLIP, why=why)


def _shortage(seen: Observation, rule: Rule, scope: str, scene: Scene) -> Observation:
    """Of a pool as a whole: the weeks that are short, and what is missing in them."""
    ahead = scene.table.from_now_on(scope, rule.trigger.where.within_weeks)
    short = [position for position in ahead if position.headroom < 0 or missing(position) > 0]
    return replace(
        seen,
        weeks=tuple(position.week for position in short) if seen.breach else (),
        size=missing_together(rule.plan, scope, short),
        noise=NOISE_OF_CAPACITY * max((position.capacity for position in ahead), default=0.0),
        decided=any(position.decided for position in ahead),
    )


_MORE: Mapping[str, Callable[[Observation, Rule, str, Scene], Observation]] = {"work": _slip, "pool": _shortage}
"""What is seen besides whether it is breached, where there is more to see."""


def _observe_positions(rule: Rule, pool: str, table: Table, episode: Episode | None) -> Observation:
    ahead = table.from_now_on(pool, rule.trigger.where.within_weeks)
    if not ahead:
        return Observation(None, why=f"nothing is known of {pool} from {table.week} on")
    rows = [Row("position", position, table) for position in ahead]
    holds = [rule.when.evaluate(row) for row in rows]
    breached = [position for position, held in zip(ahead, holds, strict=True) if held]
    before = frozenset(episode.weeks if episode else ())
    if not breached and not before and None not in holds:
        return Observation(breach=None if _hole(ahead) else False, why=_NOT_ONE.format(len(ahead), table.week))
    ours = [position for position, held in zip(ahead, holds, strict=True) if held or position.week in before]
    return Observation(
        breach=_enough(rule, pool, breached, unknown=_hole(ahead) or None in holds),
        clear=_clear(rule.clear, ahead, rows, holds, before) if before else None,
        weeks=tuple(position.week for position in breached),
        size=missing_together(rule.plan, pool, ours),
        noise=NOISE_OF_CAPACITY * max((position.capacity for position in ours), default=0.0),
        decided=any(position.decided for position in ours),
        why=f"{len(breached)} of {len(ahead)} weeks from {table.week} on are breached",
    )


_NOT_ONE = "0 of {} weeks from {} on are breached"


def _enough(rule: Rule, pool: str, breached: Sequence[Position], *, unknown: bool) -> bool | None:
    """Whether what is breached is as much as the trigger asks for; unknown weeks could only add to it."""
    weeks = len(breached) >= max(1, rule.trigger.min_weeks or 1)
    excess = missing_together(rule.plan, pool, breached) >= (rule.trigger.min_excess or 0.0)
    if weeks and excess:
        return True
    return None if unknown else False


def _clear(
    condition: Condition | None,
    ahead: Sequence[Position],
    rows: Sequence[Row],
    holds: Sequence[bool | None],
    before: frozenset[str],
) -> bool | None:
    """No week may be breached, and each week that ever was must satisfy the clear condition.

    A week that was never breached need not: hysteresis is for those that were. What is unknown keeps it from being
    clear, and so does a week that ought to be there and is not.
    """
    answers: list[bool | None] = [None if held is None else not held for held in holds]
    if condition is not None:
        answers += [
            condition.evaluate(row) for position, row in zip(ahead, rows, strict=True) if position.week in before
        ]
    if _hole(ahead):
        answers.append(None)
    if False in answers:
        return False
    return None if None in answers else True


def _hole(ahead: Sequence[Position]) -> bool:
    """Whether a week between the first and the last known is missing."""
    return weeks_between(ahead[0].week, ahead[-1].week) != len(ahead) - 1

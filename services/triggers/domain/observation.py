"""What one rule sees in one scope of the table: whether it is breached, whether it is clear, where, and by how much."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.triggers.domain.conditions import Condition
from services.triggers.domain.fields import POSITION_READERS, WORK_READERS, Thing, Value
from services.triggers.domain.gap import missing_together
from services.triggers.domain.rules import Rule
from services.triggers.domain.table import Table
from shared.schemas.episode import Episode
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


def observe(rule: Rule, scope: str, table: Table, episode: Episode | None) -> Observation:
    """What ``rule`` sees in ``scope`` now; ``episode`` is the pending, firing or mitigated one there, if any."""
    if rule.trigger.watch == "work":
        return _observe_work(rule, scope, table)
    return _observe_pool(rule, scope, table, episode)


def _observe_pool(rule: Rule, pool: str, table: Table, episode: Episode | None) -> Observation:
    ahead = table.from_now_on(pool, rule.trigger.where.within_weeks)
    if not ahead:
        return Observation(None, why=f"nothing is known of {pool} from {table.week} on")
    rows = _rows(ahead, rule.fields, POSITION_READERS, table.week)
    holds = [rule.when.evaluate(row) for row in rows]
    breached = [position for position, held in zip(ahead, holds, strict=True) if held]
    before = frozenset(episode.weeks if episode else ())
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
    rows: Sequence[Mapping[str, Value]],
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


def _observe_work(rule: Rule, work: str, table: Table) -> Observation:
    state = table.work.get(work)
    if state is None:
        return Observation(None, why=f"nothing is known of {work}")
    (row,) = _rows([state], rule.fields, WORK_READERS, table.week)
    holds = rule.when.evaluate(row)
    clear = (None if holds is None else not holds) if rule.clear is None else rule.clear.evaluate(row)
    return Observation(
        breach=holds,
        clear=False if holds else clear,
        weeks=(state.due,) if holds else (),
        size=state.slip_weeks,
        noise=NOISE_OF_SLIP,
        why=f"{work} is {state.slip_weeks:g} week{'' if state.slip_weeks == 1 else 's'} late",
    )


def _rows(
    things: Iterable[Thing], fields: Iterable[str], readers: Mapping[str, Callable[[Thing, str], Value]], week: str
) -> list[dict[str, Value]]:
    reading = [(name, readers[name]) for name in fields]
    return [{name: read(thing, week) for name, read in reading} for thing in things]

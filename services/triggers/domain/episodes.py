"""The life of an episode: ``(episode, what is seen, now) → (episode, transition, reason)``, and nothing else.

::

    clear ──breach──▶ pending ──held `for`──▶ firing ──clear for `keep`──▶ clear         (resolved)
      ▲                  │                    │   ▲ │
      └───not breached───┘                    │   │ └─worse──▶ firing                    (updated)
                              clear for `keep`│   │breach, or the effects lapse          (reopened)
                              thanks to effects   │
                                              ▼   │
                                           mitigated ──clear without effects──▶ clear    (resolved)

With ``of: 3 in 5`` a pending episode also needs a breach on three of the last five days, and goes back when none of
them had one. An episode of a trigger in shadow lives the same life, told to nobody; should the trigger step out of the
shadow while it is breached, it fires for all to hear.

What is unknown moves nothing: it neither fires, nor resolves, nor sends a pending episode back. Every difference
between the two episodes matters and is written to the log, so that the log is all one needs to go on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from services.triggers.domain.identity import recalibration_id
from services.triggers.domain.observation import Observation
from shared.schemas.episode import SEVERITIES, Ended, Episode
from shared.schemas.plan_triggers import Trigger
from shared.schemas.recalibration import Kind

WORSE = 1.2
"""A size this many times the one last announced is worth announcing."""

FORGET_AFTER = timedelta(days=90)
"""How long after it was resolved a recalibration stays on the log."""

_AT_ONCE = timedelta(0)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of an episode; ``transition`` is what the owners must learn, None: nothing."""

    episode: Episode
    transition: Kind | None
    reason: str


def beginning(trigger: str, scope: str) -> Episode:
    """The state before the first breach ever."""
    return Episode(trigger=trigger, scope=scope, number=0, phase="clear", applied=-1, ended_known=True)


def after_a_lost_row(trigger: str, scope: str, place: int, before: Episode | None) -> Episode:
    """A new beginning where the row at offset ``place`` cannot be read; ``before`` is an earlier one, if still there.

    Every episode has a row at a place of its own, so none had a number above ``place + 1``: counting on from there no
    id is used twice. With one used before, whoever drops what they know would drop a new alarm.
    """
    number = max(place + 1, before.number if before else 0)
    ended = before.ended if before else []
    return replace(beginning(trigger, scope), number=number, ended=ended)


def end_at_a_lost_row(before: Episode, place: int, now: datetime) -> Step | None:
    """The end of what was under way by ``before``, whose later row at offset ``place`` cannot be read; None: nothing.

    Nobody goes on with it, so its owners must learn that it is over. No transition had a number above ``place + 1``,
    so this one is newer than whatever the lost row told.
    """
    if before.phase not in ("firing", "mitigated"):
        return None
    last = replace(before, transition=max(place + 1, before.transition))
    return _resolve(last, "what was known of it was lost, and what is still breached asks anew", now)


def step(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    """Move an episode on by one frame whose moment is ``now``."""
    if before.shadow and not trigger.shadow and seen.breach and before.phase in ("firing", "mitigated"):
        return _step_out(before, seen, now, trigger)
    return _PHASES[before.phase](before, seen, now, trigger)


def withdraw(before: Episode, reason: str, now: datetime) -> Step:
    """End an episode whose trigger no longer watches its scope."""
    if before.phase == "pending":
        return Step(_back(before), None, reason)
    return _resolve(before, reason, now)


def forget(before: Episode, now: datetime) -> tuple[Episode, list[str]]:
    """The episode without what was resolved long ago, and the ids of the recalibrations that may leave the log."""
    old = [ended for ended in before.ended if ended.at + FORGET_AFTER <= now]
    ids = [recalibration_id(before.trigger, before.scope, ended.number) for ended in old]
    return (replace(before, ended=before.ended[len(old) :]) if old else before), ids


def with_all_ended(before: Episode, written: datetime) -> Episode:
    """A row ``written`` then, with every resolved episode in ``ended``: earlier versions did not note them.

    Such a one had ended when the row was last written, when the next one fired or when the next noted one ended; the
    earliest of these is taken to be its end, so that its recalibration leaves the log rather late than never.
    """
    if before.ended_known:
        return before
    under_way = before.phase in ("firing", "mitigated")
    noted = before.ended[0] if before.ended else None
    last = before.number - 1 if under_way or before.shadow else before.number
    first_known = last + 1 if noted is None else noted.number
    at = noted.at if noted is not None else (before.fired if under_way else None) or written
    unnoted = [Ended(number, at) for number in range(1, first_known)]
    return replace(before, ended=[*unnoted, *before.ended], ended_known=True)


def due(episode: Episode, trigger: Trigger) -> datetime | None:
    """When time alone may move the episode on; None while only a change of what is seen can."""
    if episode.phase == "pending" and episode.since is not None:
        return episode.since + (trigger.for_ or _AT_ONCE)
    if episode.phase in ("firing", "mitigated") and episode.clear_since is not None:
        return episode.clear_since + (trigger.keep or _AT_ONCE)
    return None


def _from_clear(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    if seen.breach is not True:
        return Step(before, None, seen.why)
    return _from_pending(replace(before, phase="pending", since=None), seen, now, trigger)


def _from_pending(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    if seen.breach is None:
        return Step(before, None, seen.why)
    pending = _counted(before, seen, now, trigger)
    if pending.since is None and not pending.days:
        return Step(_back(before), None, seen.why)
    if pending.since is None or not seen.breach:
        return Step(pending, None, f"{seen.why}; breached on {len(pending.days)} of the last days")
    hold = trigger.for_ or _AT_ONCE
    if now - pending.since < hold:
        return Step(pending, None, f"breached since {pending.since:%Y-%m-%d %H:%M}, not yet for {hold}")
    return _fire(pending, seen, now, trigger)


def _counted(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Episode:
    """With ``since``: from when on it has been breached, on enough days; None: it is not, or not on enough."""
    if trigger.of is None:
        return replace(before, since=(before.since or now) if seen.breach else None, days=[])
    held, window = trigger.times
    first = (now - (window - 1) * _DAY).date().isoformat()
    today = {now.date().isoformat()} if seen.breach else set()
    days = sorted({day for day in before.days if day >= first} | today)
    return replace(before, since=(before.since or now) if len(days) >= held else None, days=days)


def _fire(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    number = before.number + 1
    fired = Episode(
        trigger=before.trigger,
        scope=before.scope,
        number=number,
        phase="firing",
        applied=before.applied,
        transition=1,
        since=before.since,
        fired=now,
        asked=now,
        severity=trigger.severity,
        weeks=sorted(seen.weeks),
        worst=seen.size,
        recalibration=recalibration_id(before.trigger, before.scope, number),
        shadow=trigger.shadow,
        singly=before.singly,
        ended=before.ended,
        ended_known=before.ended_known,
    )
    return Step(fired, "firing", seen.why)


def _step_out(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    reopened = _reopen(before, seen, now, trigger, seen.why).episode
    return Step(replace(reopened, shadow=False), "firing", "it is no longer only tried")


def _from_firing(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    if seen.clear:
        since = before.clear_since or now
        if now - since < (trigger.keep or _AT_ONCE):
            return Step(
                replace(before, clear_since=since), None, f"clear since {since:%Y-%m-%d %H:%M}, not long enough"
            )
        if not seen.decided:
            return _resolve(before, seen.why, now)
        mitigated = replace(before, phase="mitigated", clear_since=since, transition=before.transition + 1)
        return Step(mitigated, "mitigated", "clear, as far as what was decided comes true")
    return _worsen(replace(before, clear_since=None), seen, trigger)


def _from_mitigated(before: Episode, seen: Observation, now: datetime, trigger: Trigger) -> Step:
    if seen.breach:
        return _reopen(before, seen, now, trigger, "breached in spite of what was decided")
    if seen.clear is False and not seen.decided:
        return _reopen(before, seen, now, trigger, "what was decided has lapsed")
    if not seen.clear:
        return Step(replace(before, clear_since=None), None, seen.why)
    since = before.clear_since or now
    if seen.decided or now - since < (trigger.keep or _AT_ONCE):
        return Step(replace(before, clear_since=since), None, seen.why)
    return _resolve(before, seen.why, now)


_PHASES: dict[str, Callable[[Episode, Observation, datetime, Trigger], Step]] = {
    "clear": _from_clear,
    "pending": _from_pending,
    "firing": _from_firing,
    "mitigated": _from_mitigated,
}


def _worsen(before: Episode, seen: Observation, trigger: Trigger) -> Step:
    """Take in what is breached now; say so only when it reaches further, is clearly bigger, or matters more."""
    weeks = sorted({*before.weeks, *seen.weeks})
    now = replace(before, weeks=weeks, severity=trigger.severity)
    reason = _worse(before, now, seen)
    if reason is None:
        return Step(now, None, seen.why)
    told = replace(now, worst=max(seen.size, before.worst), transition=before.transition + 1)
    return Step(told, "updated", reason)


def _worse(before: Episode, now: Episode, seen: Observation) -> str | None:
    if SEVERITIES.index(now.severity) > SEVERITIES.index(before.severity):
        return f"its severity rose to {now.severity}"
    if (now.weeks[:1], now.weeks[-1:]) != (before.weeks[:1], before.weeks[-1:]):
        return f"it now reaches from {now.weeks[0]} to {now.weeks[-1]}"
    if seen.size >= WORSE * before.worst and seen.size - before.worst >= seen.noise and seen.size > before.worst:
        return f"its size grew from {before.worst:,.0f} to {seen.size:,.0f}"
    return None


def _reopen(before: Episode, seen: Observation, now: datetime, trigger: Trigger, reason: str) -> Step:
    reopened = replace(
        before,
        phase="firing",
        transition=before.transition + 1,
        asked=now,
        clear_since=None,
        severity=trigger.severity,
        weeks=sorted({*before.weeks, *seen.weeks}),
        worst=seen.size,
    )
    return Step(reopened, "reopened", reason)


def _resolve(before: Episode, reason: str, now: datetime) -> Step:
    ended = before.ended if before.shadow else [*before.ended, Ended(before.number, now)]
    moved = before.transition + 1
    resolved = replace(before, phase="clear", transition=moved, since=None, clear_since=None, ended=ended)
    return Step(resolved, "resolved", reason)


def _back(before: Episode) -> Episode:
    return replace(before, phase="clear", since=None, days=[])

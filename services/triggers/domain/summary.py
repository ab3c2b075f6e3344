"""One plain sentence for a busy owner: what is short by how much and when, which deals ask for it, what still helps."""

from collections.abc import Iterator, Mapping

from services.triggers.domain.episodes import Step
from services.triggers.domain.findings import Findings
from shared.numbers import number
from shared.schemas.plan_fields import NEVER, WATCHED
from shared.schemas.plan_triggers import Trigger
from shared.schemas.position import TopDeal
from shared.schemas.recalibration import Week

_IN_A_SENTENCE = 3
_COVERED = "what was decided covers it, as soon as a report confirms that"
_A_CHANCE = 0.005
"""What is said in whole percents is a chance from here on."""


def summarise(trigger: Trigger, step: Step, found: Findings) -> str:
    """The sentence for a step of an episode."""
    scope = step.episode.scope
    if step.transition == "resolved":
        return f"{scope} is settled: {step.reason}."
    if step.transition == "mitigated":
        return "; ".join(_covered(trigger, scope, found)) + "."
    clauses = list(_facts(trigger, scope, found))
    clauses += [clause for clause in (_because(found.cause), found.help_until) if clause]
    if step.transition in ("updated", "reopened"):
        clauses.append(step.reason)
    return "; ".join(clauses) + "."


def _covered(trigger: Trigger, scope: str, found: Findings) -> Iterator[str]:
    """What the decision covers, what it would be without it, and what is left all the same."""
    if found.weeks:
        yield f"{scope} {_span(found)}: {_COVERED}"
        if found.undecided > found.size:
            yield f"without it {_amount(found.undecided, found.unit)} would be missing to be safe"
        yield from _left(found)
        yield from _said(trigger.watch, found.values)
        return
    yield from _facts(trigger, scope, found)
    yield _COVERED


def _left(found: Findings) -> Iterator[str]:
    worst = _worst(found)
    if found.size > 0:
        yield f"{_amount(found.size, found.unit)} are still missing to be safe"
    if worst.overload >= _A_CHANCE:
        yield f"a chance of overload of up to {worst.overload:.0%} is left ({worst.week})"


def _facts(trigger: Trigger, scope: str, found: Findings) -> Iterator[str]:
    """What is the matter; the values a condition speaks of where neither weeks nor a slip say it all."""
    if trigger.watch == "work":
        yield _slip(scope, found)
        return
    if trigger.watch == "position" or found.weeks:
        yield _shortage(scope, found)
    if found.values:
        yield f"{'' if found.weeks else f'{scope}: '}{', '.join(_said(trigger.watch, found.values))}"
    if found.stressed:
        hardest = found.stressed[0]
        share = f" ({hardest.share:.0%} of a week)" if hardest.share is not None else ""
        yield f"most of it falls on {hardest.pool}, {_amount(hardest.effort, hardest.unit)} a week{share}"


def _said(watch: str, values: Mapping[str, float | str]) -> Iterator[str]:
    for name, value in values.items():
        field = WATCHED[watch].field(name)
        if name == "report_age" and value == NEVER:
            yield "it never reported"
        elif isinstance(value, float) and field is not None:
            yield f"{name.replace('_', ' ')} is {_number(value, field.unit)}"


def _number(value: float, unit: str) -> str:
    if unit in ("share", "probability"):
        return f"{value:.0%}"
    return f"{number(value, 3)} {unit}"


def _shortage(pool: str, found: Findings) -> str:
    if not found.weeks:
        return f"{pool} is breached {_span(found)}"
    worst = _worst(found)
    if found.size <= 0:
        return f"{pool} is overloaded {_span(found)} with a chance of up to {worst.overload:.0%} ({worst.week})"
    return (
        f"{pool} is short of {_amount(found.size, found.unit)} {_span(found)} to be safe, "
        f"overloaded with a chance of up to {worst.overload:.0%} ({worst.week})"
    )


def _worst(found: Findings) -> Week:
    return max(found.weeks, key=lambda week: (week.overload, week.missing))


def _slip(work: str, found: Findings) -> str:
    slip = found.slip_weeks or 0.0
    when = f"in {found.to_week}" if found.to_week else "not within the plan's horizon"
    short = f", {_amount(found.size, found.unit)} short" if found.size > 0 else ""
    return f"{work} slips {slip:.3g} week{'' if slip == 1 else 's'}: due {found.from_week}, done {when}{short}"


def _span(found: Findings) -> str:
    if found.from_week == found.to_week:
        return f"in {found.from_week}"
    return f"from {found.from_week} to {found.to_week}"


def _amount(size: float, unit: str) -> str:
    return f"{size:,.0f} {unit}".rstrip() if size >= 10 else f"{size:.2g} {unit}".rstrip()


def _because(cause: list[TopDeal]) -> str:
    if not cause:
        return ""
    named = ", ".join(f"{deal.deal} ({deal.share:.0%})" for deal in cause[:_IN_A_SENTENCE])
    return f"most is asked by {named}"

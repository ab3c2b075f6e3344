"""Whether a decision's effects are something its plan knows, and something the person may decide.

The owner of a pool decides about it up to the pool's ``may_decide``: effort in its unit, added or taken away in all
weeks together, and money, which is that effort at the pool's ``cost_per_unit``. Beyond it whoever is next in the
escalation decides: of the pool, or of what is asked. To hold deals back costs no capacity and has no limit.
"""

from collections.abc import Iterable, Iterator, Sequence

from services.notifier.domain.answers import Refusal, Words
from shared.schemas.decision import Effect
from shared.schemas.plan import Plan
from shared.schemas.plan_pools import Pool
from shared.schemas.recalibration import Recalibration


def no_pool(pool: str, plan: Plan) -> str | None:
    """That the plan has no such pool and which it has, in a sentence; None when it has it."""
    if pool in plan.pools:
        return None
    return f"Plan {plan.plan} has no pool {pool!r}; it has {', '.join(list(plan.pools)[:20]) or 'none'}."


def unknown(effects: Sequence[Effect], units: Sequence[str | None], plan: Plan) -> list[str]:
    """What the plan does not have of pools and of the ``units`` they were said in (None: not said), a sentence each."""
    found = []
    for number, (effect, unit) in enumerate(zip(effects, units, strict=True)):
        pool = plan.pools.get(effect.pool)
        if pool is None:
            found.append(f"effects[{number}]: plan {plan.plan} has no pool {effect.pool!r}")
        elif unit is not None and unit != pool.unit:
            found.append(f"effects[{number}]: {effect.pool} is counted in {pool.unit}, not in {unit!r}")
    return found


def beyond(words: Words, recalibration: Recalibration, plan: Plan) -> Refusal | None:
    """Why ``words.by`` may not decide these effects, or None; all their pools must be in the plan."""
    for name, effects in _by_pool(words.effects).items():
        pool = plan.pools[name]
        above = [*pool.escalation, *(person.id for person in recalibration.escalation)]
        if words.by in above:
            continue
        who = _named(plan, above)
        if words.by != pool.owner:
            may = list(dict.fromkeys([pool.owner, *above]))
            reason = f"{words.by!r} neither owns {name} nor is in its escalation; {_named(plan, may)} may decide."
            return Refusal("not-allowed", reason, tuple(may))
        for exceeded in _exceeded(pool, effects):
            reason = f"{words.by!r} may decide about {name} up to {exceeded}; beyond it {who or 'nobody'} may."
            return Refusal("not-allowed", reason, tuple(dict.fromkeys(above)))
    return None


def _exceeded(pool: Pool, effects: Sequence[Effect]) -> Iterator[str]:
    """Each limit of the owner that the effects exceed, with what they come to."""
    limit = pool.may_decide
    if limit is None:
        return
    effort = sum(abs(effect.amount) * len(set(effect.weeks)) for effect in effects if not effect.deals)
    money = effort * pool.cost_per_unit
    if limit.hours is not None and effort > limit.hours:
        yield f"{limit.hours:,g} {pool.unit}, this is {effort:,g}"
    if limit.money is not None and money > limit.money:
        yield f"{limit.money:,g} of money, this is {money:,g}"


def _by_pool(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.pool, []).append(effect)
    return found


def _named(plan: Plan, people: Iterable[str]) -> str:
    known = {person: plan.people[person].name for person in people if person in plan.people}
    return " or ".join(f"{name} ({person})" for person, name in known.items())

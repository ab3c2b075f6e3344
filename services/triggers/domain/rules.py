"""The triggers of one plan made ready: conditions compiled, scopes listed, and an index of who watches what."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from services.triggers.domain.table import Touched, scope_of
from shared.errors import BadInput
from shared.schemas.forecast import EVERYTHING
from shared.schemas.plan import Plan
from shared.schemas.plan_conditions import Condition, ConditionError, compile_condition
from shared.schemas.plan_triggers import Trigger, Where

Key = tuple[str, str]
"""Trigger and scope: what an episode belongs to."""


@dataclass(frozen=True)
class Rule:
    """One trigger of a plan. ``scopes`` are what it watches one by one: pools, work items, milestones, …"""

    trigger: Trigger
    plan: Plan
    when: Condition
    clear: Condition | None
    scopes: tuple[str, ...]

    @cached_property
    def fields(self) -> frozenset[str]:
        """All fields that either condition speaks of."""
        return self.when.fields | (self.clear.fields if self.clear else frozenset())

    def pool_of(self, scope: str) -> str | None:
        """The pool a scope is about, if it is about one and the plan still has it."""
        match self.trigger.watch:
            case "work":
                return _owed_by(self.plan, scope)
            case "position" | "pool" | "report":
                return scope if scope in self.plan.pools else None
            case "signal":
                return self.trigger.where.pool
        return None


@dataclass(frozen=True)
class Rejected:
    """A trigger that is not evaluated, and why."""

    trigger: str
    reason: str


@dataclass
class RuleBook:
    """All rules of one plan version, in the plan's order."""

    name: str
    plan: Plan
    rules: dict[str, Rule] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)

    def keys(self) -> Iterator[Key]:
        """Every trigger with every scope it watches."""
        return ((name, scope) for name, rule in self.rules.items() for scope in rule.scopes)

    def watching(self, touched: Touched) -> Iterator[Key]:
        """Those whose scope a frame touched."""
        if touched.everything:
            yield from self.keys()
            return
        for watch, scopes in touched.scopes.items():
            watchers = self._watchers.get(watch, {})
            for scope in sorted(watchers if scopes is None else scopes):
                yield from watchers.get(scope, ())

    def has(self, key: Key) -> bool:
        """Whether this plan still watches that scope with that trigger."""
        return key in self._places

    def place(self, key: Key) -> int:
        """Where the plan has it: what moves in one frame moves in this order, whatever was looked at first."""
        return self._places[key]

    @cached_property
    def _places(self) -> dict[Key, int]:
        return {key: place for place, key in enumerate(self.keys())}

    @cached_property
    def pools_with_burn(self) -> frozenset[str]:
        """The pools whose slack has to be kept day by day, because somebody watches how fast it goes."""
        burning = [rule for rule in self.rules.values() if rule.fields & {"burn_short", "burn_long"}]
        return frozenset(scope for rule in burning for scope in rule.scopes)

    @cached_property
    def _watchers(self) -> dict[str, dict[str, list[Key]]]:
        index: dict[str, dict[str, list[Key]]] = {}
        for name, scope in self.keys():
            index.setdefault(self.rules[name].trigger.watch, {}).setdefault(scope, []).append((name, scope))
        return index


def compile_rules(name: str, plan: Plan) -> RuleBook:
    """Make the triggers of plan version ``name`` ready; one that cannot be evaluated is put aside with the reason."""
    book = RuleBook(name, plan)
    for trigger in plan.triggers:
        try:
            book.rules[trigger.trigger] = _compile(trigger, plan)
        except BadInput as error:
            book.rejected.append(Rejected(trigger.trigger, str(error)))
    return book


def _compile(trigger: Trigger, plan: Plan) -> Rule:
    try:
        when = compile_condition(trigger.when, trigger.watch)
        clear = compile_condition(trigger.clear, trigger.watch) if trigger.clear else None
    except ConditionError as error:
        where = f"{trigger.trigger}, column {error.offset + 1}"
        raise BadInput("a condition cannot be used", where=where, why=error.why) from None
    return Rule(trigger, plan, when, clear, tuple(_scopes(trigger, plan)))


BOOK = "deals"
"""The scope of a trigger on the whole book."""


def _scopes(trigger: Trigger, plan: Plan) -> list[str]:
    where = trigger.where
    match trigger.watch:
        case "work":
            named = plan.work if where.work is None else [where.work]
            return [work for work in named if where.pool is None or _owed_by(plan, work) == where.pool]
        case "milestone":
            found = plan.milestones.items()
            return [
                name
                for name, milestone in found
                if where.milestone in (None, name) and where.product in (None, milestone.product)
            ]
        case "deal":
            return [where.product or BOOK]
        case "forecast":
            periods = plan.periods if where.period is None else [where.period]
            return [scope_of(period, EVERYTHING if where.segment is None else where.segment) for period in periods]
        case "signal":
            return [f"{where.pool}/{where.kind}" if where.pool else str(where.kind)]
    return _pools(where, plan)


def _pools(where: Where, plan: Plan) -> list[str]:
    if where.pool is not None:
        return [where.pool]
    return [name for name, pool in plan.pools.items() if where.function in (None, pool.function)]


def _owed_by(plan: Plan, work: str) -> str | None:
    item = plan.work.get(work)
    return item.pool if item else None

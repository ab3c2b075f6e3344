"""The triggers of one plan made ready: conditions compiled, scopes listed, and an index of who watches what."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from services.triggers.domain.conditions import FIELDS, Condition, compile_condition
from services.triggers.domain.table import Touched
from shared.errors import BadInput
from shared.schemas.plan import Plan
from shared.schemas.plan_triggers import Trigger

Key = tuple[str, str]
"""Trigger and scope: what an episode belongs to."""


@dataclass(frozen=True)
class Rule:
    """One trigger of a plan. ``scopes`` are the pools, or work items, it watches one by one."""

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
        """The pool a scope is about, if the plan still has it."""
        if self.trigger.watch == "work":
            return _owed_by(self.plan, scope)
        return scope if scope in self.plan.pools else None


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
        for watch, scopes in (("position", touched.pools), ("work", touched.work)):
            for scope in sorted(scopes):
                yield from self._watchers.get((watch, scope), ())

    def has(self, key: Key) -> bool:
        """Whether this plan still watches that scope with that trigger."""
        return key in self._known

    @cached_property
    def _known(self) -> frozenset[Key]:
        return frozenset(self.keys())

    @cached_property
    def _watchers(self) -> dict[tuple[str, str], list[Key]]:
        index: dict[tuple[str, str], list[Key]] = {}
        for name, scope in self.keys():
            index.setdefault((self.rules[name].trigger.watch, scope), []).append((name, scope))
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
    if trigger.watch not in FIELDS:
        raise BadInput(
            f"nothing evaluates triggers that watch a {trigger.watch}",
            where=trigger.trigger,
            do=f"Watch one of {', '.join(FIELDS)}.",
        )
    if trigger.of is not None:
        raise BadInput("nothing evaluates 'of' yet", where=trigger.trigger, do="Use 'for': how long it must hold.")
    when = compile_condition(trigger.when, trigger.watch)
    clear = compile_condition(trigger.clear, trigger.watch) if trigger.clear else None
    return Rule(trigger, plan, when, clear, tuple(_scopes(trigger, plan)))


def _scopes(trigger: Trigger, plan: Plan) -> list[str]:
    where = trigger.where
    if trigger.watch == "work":
        named = plan.work if where.work is None else [where.work]
        return [work for work in named if where.pool is None or _owed_by(plan, work) == where.pool]
    return list(plan.pools) if where.pool is None else [where.pool]


def _owed_by(plan: Plan, work: str) -> str | None:
    item = plan.work.get(work)
    return item.pool if item else None

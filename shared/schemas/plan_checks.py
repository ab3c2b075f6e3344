"""What a plan's types cannot say: that names refer to something, and that a trigger can fire, clear and be answered.

The checks read plain data and tolerate any shape in it, so that a file with one wrong type still hears of all its other
problems at once.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.schemas.plan_conditions import Condition, ConditionError, compile_condition
from shared.schemas.plan_fields import WATCHED, Watched
from shared.schemas.plan_reach import always_holds, never_holds, overlap
from shared.schemas.plan_triggers import DEALS_POOLS_OWNERS, POOL_ESCALATION, POOL_OWNER, ROLES
from shared.schemas.plan_words import meant
from shared.schemas.plan_yaml import Path


class Problem(NamedTuple):
    """Where, what, at which character of the value there, and whether the key rather than the value is meant."""

    path: Path
    message: str
    offset: int = 0
    about_key: bool = False


REFERENCES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("pools.*.owner", "people", ()),
    ("pools.*.escalation.*", "people", ()),
    ("pools.*.hiring.pools.*", "pools", ()),
    ("products.*.needs.*.pool", "pools", ()),
    ("work.*.pool", "pools", ()),
    ("milestones.*.product", "products", ()),
    ("triggers.*.where.pool", "pools", ()),
    ("triggers.*.where.work", "work", ()),
    ("triggers.*.where.milestone", "milestones", ()),
    ("triggers.*.where.product", "products", ()),
    ("triggers.*.where.period", "periods", ()),
    ("triggers.*.ask.owners", "people", ROLES),
    ("triggers.*.ask.owners.*", "people", ROLES),
    ("triggers.*.ask.inform", "people", ROLES),
    ("triggers.*.ask.inform.*", "people", ROLES),
    ("triggers.*.ask.escalate", "people", ROLES),
    ("triggers.*.ask.escalate.*", "people", ROLES),
)
"""Where a name stands, where it must be declared, and which other words may stand there."""

_SINGULAR = {
    "people": "person",
    "pools": "pool",
    "products": "product",
    "work": "work item",
    "milestones": "milestone",
    "periods": "period",
}

_WHERE = frozenset({"pool", "function", "kind", "work", "milestone", "product", "segment", "period", "within_weeks"})
"""Everything ``where`` may say of some watched thing or other."""


def problems(data: Any) -> Iterator[Problem]:
    """Everything wrong in a plan's plain data that its types do not show."""
    for pattern, declared, words in REFERENCES:
        yield from _references(data, pattern, declared, words)
    yield from _helps(data)
    yield from _holidays(data)
    for at, trigger in enumerate(_list(data, "triggers")):
        if isinstance(trigger, dict):
            for problem in _trigger(trigger, data):
                yield problem._replace(path=("triggers", at, *problem.path))
    yield from _twice(data)
    if _mapping(data, "incentives"):
        yield Problem(("incentives",), "incentives are not enforced by this version; leave them out")


def _references(data: Any, pattern: str, declared: str, words: tuple[str, ...]) -> Iterator[Problem]:
    names = _mapping(data, declared)
    for path, value in _matching(data, tuple(pattern.split(".")), ()):
        if isinstance(value, str) and value not in names and value not in words:
            yield Problem(path, f"there is no {_SINGULAR[declared]} {value!r}" + meant(value, [*names, *words]))


def _helps(data: Any) -> Iterator[Problem]:
    pools = _mapping(data, "pools")
    for path, helps in _matching(data, ("pools", "*", "helps"), ()):
        for other in helps if isinstance(helps, dict) else ():
            if other not in pools:
                yield Problem((*path, other), f"there is no pool {other!r}" + meant(other, pools), about_key=True)
            elif other == path[1]:
                yield Problem((*path, other), "a pool does not help itself", about_key=True)


def _holidays(data: Any) -> Iterator[Problem]:
    found = list(_matching(data, ("pools", "*", "capacity", "holidays"), ()))
    if not found:
        return
    # Imported here because it takes a tenth of a second and most readers of plans never check one.
    from holidays import list_supported_countries

    known = list_supported_countries()
    for path, value in found:
        country, _, subdivision = value.partition("-") if isinstance(value, str) else ("", "", "")
        if country and country not in known:
            yield Problem(path, f"no public holidays are known for {country!r}")
        elif subdivision and subdivision not in known[country]:
            yield Problem(path, f"no part {subdivision!r} of {country} is known" + meant(subdivision, known[country]))


def _trigger(trigger: dict[str, Any], data: Any) -> Iterator[Problem]:
    watch = trigger.get("watch")
    if not isinstance(watch, str):
        return
    watched = WATCHED.get(watch)
    if watched is None:
        yield Problem(("watch",), f"a {watch} cannot be watched by this version; {' and '.join(WATCHED)} can")
        return
    yield from _where(trigger, watch, watched)
    yield from _watches_something(trigger, watch, data)
    held, _, days = str(trigger.get("of") or "").partition(" in ")
    if held.isdigit() and days.isdigit() and int(held) > int(days):
        yield Problem(("of",), f"this can never be: {held} of {days} days")
    yield from _conditions(trigger, watch)
    yield from _deadlines(trigger)
    yield from _asked(trigger, watch, watched)


def _where(trigger: dict[str, Any], watch: str, watched: Watched) -> Iterator[Problem]:
    where = _mapping(trigger, "where")
    for key in where:
        if key not in watched.where and key in _WHERE:
            words = f"{key} does not narrow a {watch}; {' and '.join(watched.where)} {_does(watched.where)}"
            yield Problem(("where", key), words, about_key=True)
    for key in watched.needed:
        if key not in where:
            path = ("where",) if "where" in trigger else ("watch",)
            yield Problem(path, f"a trigger on a {watch} says which in where: {key}", about_key=True)
    if "pool" in where and "function" in where:
        yield Problem(("where", "function"), "a pool says all: leave the function out", about_key=True)


def _does(keys: tuple[str, ...]) -> str:
    return "do" if len(keys) > 1 else "does"


def _watches_something(trigger: dict[str, Any], watch: str, data: Any) -> Iterator[Problem]:
    """A trigger whose ``where`` no part of the plan satisfies would never say anything."""
    where, pools = _mapping(trigger, "where"), _mapping(data, "pools")
    function = where.get("function")
    if isinstance(function, str):
        known = {pool.get("function") for pool in pools.values() if isinstance(pool, dict)}
        if function not in known:
            said = meant(function, sorted(name for name in known if isinstance(name, str)))
            yield Problem(("where", "function"), f"there is no pool of function {function!r}{said}")
    named, declared = {
        "work": ("work", "work"),
        "milestone": ("milestone", "milestones"),
        "forecast": ("period", "periods"),
    }.get(watch, ("", ""))
    if not declared or named in where:
        return
    narrowing = {key: value for key, value in where.items() if key in ("pool", "product")}
    items = [item for item in _mapping(data, declared).values() if isinstance(item, dict)]
    if not any(all(item.get(key) == value for key, value in narrowing.items()) for item in items):
        path = ("where",) if narrowing else ("watch",)
        yield Problem(path, f"the plan has no {_SINGULAR[declared]} that this would watch")


def _conditions(trigger: dict[str, Any], watch: str) -> Iterator[Problem]:
    compiled: dict[str, Condition] = {}
    for key in ("when", "clear"):
        text = trigger.get(key)
        if not isinstance(text, str) or not text:
            continue
        try:
            compiled[key] = compile_condition(text, watch)
        except ConditionError as error:
            yield Problem((key,), error.why, error.offset)
            continue
        if never_holds(compiled[key]):
            yield Problem((key,), "this condition can never hold")
            del compiled[key]
    if "when" in compiled and always_holds(compiled["when"]):
        yield Problem(("when",), "this condition always holds")
    elif len(compiled) == 2 and overlap(compiled["when"], compiled["clear"]):
        yield Problem(("clear",), "this can hold while `when` still holds: the episode would end and begin again")


def _asked(trigger: dict[str, Any], watch: str, watched: Watched) -> Iterator[Problem]:
    """Somebody must be there to answer, whatever the episode is about."""
    ask = _mapping(trigger, "ask")
    owners = ask.get("owners")
    owners = [owners] if isinstance(owners, str) else owners
    if not isinstance(owners, list) or not owners:
        return
    has_pool = watched.pool or "pool" in _mapping(trigger, "where")
    nobody = {DEALS_POOLS_OWNERS} if has_pool else {*ROLES}
    if all(owner in nobody for owner in owners if isinstance(owner, str)):
        why = "its deals may be none" if has_pool else f"a {watch} is of no one pool"
        yield Problem(("ask", "owners"), f"nobody may be left to ask, for {why}: name a person", about_key=True)
    elif not has_pool:
        for at, owner in enumerate(owners):
            if owner in (POOL_OWNER, POOL_ESCALATION):
                path: Path = ("ask", "owners") if isinstance(ask["owners"], str) else ("ask", "owners", at)
                yield Problem(path, f"a {watch} is of no one pool: name a person instead of {owner}")


def _deadlines(trigger: dict[str, Any]) -> Iterator[Problem]:
    from shared.schemas.plan_values import parse_duration

    ask = _mapping(trigger, "ask")
    try:
        acknowledge, decide = (parse_duration(str(ask[key])) for key in ("acknowledge_within", "decide_within"))
    except (KeyError, ValueError):
        return
    if acknowledge > decide:
        yield Problem(("ask", "acknowledge_within"), f"this is later than decide_within, {ask['decide_within']}")


def _twice(data: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    for path, name in _matching(data, ("triggers", "*", "trigger"), ()):
        if isinstance(name, str) and name in seen:
            yield Problem(path, f"there is another trigger {name!r} above")
        elif isinstance(name, str):
            seen.add(name)


def _matching(data: Any, pattern: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    """All values at paths like ``pools.*.owner``."""
    if not pattern:
        yield path, data
        return
    first, rest = pattern[0], pattern[1:]
    if isinstance(data, dict):
        for key in data if first == "*" else (first,) if first in data else ():
            yield from _matching(data[key], rest, (*path, key))
    elif isinstance(data, list) and first == "*":
        for at, item in enumerate(data):
            yield from _matching(item, rest, (*path, at))


def _mapping(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _list(data: Any, key: str) -> list[Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []

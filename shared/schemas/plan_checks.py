"""What a plan's types cannot say: that names refer to something, and that a trigger can fire, clear and be answered.

The checks read plain data and tolerate any shape in it, so that a file with one wrong type still hears of all its other
problems at once.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.schemas.plan_conditions import WATCHED, Comparison, ConditionError, both_hold, can_hold, parse_condition
from shared.schemas.plan_triggers import ROLES
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
    ("products.*.needs.*.pool", "pools", ()),
    ("work.*.pool", "pools", ()),
    ("milestones.*.product", "products", ()),
    ("triggers.*.where.pool", "pools", ()),
    ("triggers.*.where.work", "work", ()),
    ("triggers.*.where.milestone", "milestones", ()),
    ("triggers.*.where.product", "products", ()),
    ("triggers.*.ask.owners", "people", ROLES),
    ("triggers.*.ask.owners.*", "people", ROLES),
    ("triggers.*.ask.inform", "people", ROLES),
    ("triggers.*.ask.inform.*", "people", ROLES),
    ("triggers.*.ask.escalate", "people", ROLES),
    ("triggers.*.ask.escalate.*", "people", ROLES),
)
"""Where a name stands, where it must be declared, and which other words may stand there."""

_SINGULAR = {"people": "person", "pools": "pool", "products": "product", "work": "work item", "milestones": "milestone"}

_WHERE = {"position": ("pool", "within_weeks"), "work": ("pool", "work")}
"""What can narrow each thing that is watched."""


def problems(data: Any) -> Iterator[Problem]:
    """Everything wrong in a plan's plain data that its types do not show."""
    for pattern, declared, words in REFERENCES:
        yield from _references(data, pattern, declared, words)
    yield from _helps(data)
    yield from _holidays(data)
    for at, trigger in enumerate(_list(data, "triggers")):
        if isinstance(trigger, dict):
            for problem in _trigger(trigger):
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


def _trigger(trigger: dict[str, Any]) -> Iterator[Problem]:
    watch = trigger.get("watch")
    if not isinstance(watch, str):
        return
    if watch not in WATCHED:
        yield Problem(("watch",), f"this version evaluates triggers on {' and '.join(WATCHED)} only, not on {watch!r}")
        return
    for key in _mapping(trigger, "where"):
        if key not in _WHERE[watch] and key in {"pool", "work", "milestone", "product", "segment", "within_weeks"}:
            words = f"{key} does not narrow a {watch}; {' and '.join(_WHERE[watch])} do"
            yield Problem(("where", key), words, about_key=True)
    if trigger.get("of") is not None:
        yield Problem(("of",), "this version does not evaluate `of`; say with `for` how long it must hold")
    yield from _conditions(trigger, watch)
    yield from _deadlines(trigger)


def _conditions(trigger: dict[str, Any], watch: str) -> Iterator[Problem]:
    parsed: dict[str, tuple[Comparison, ...]] = {}
    for key in ("when", "clear"):
        text = trigger.get(key)
        if not isinstance(text, str) or not text:
            continue
        try:
            parsed[key] = parse_condition(text, watch)
        except ConditionError as error:
            yield Problem((key,), error.why, error.offset)
            continue
        if not can_hold(parsed[key]):
            yield Problem((key,), "this condition can never hold")
            del parsed[key]
    if len(parsed) == 2 and both_hold(parsed["when"], parsed["clear"]):
        yield Problem(("clear",), "this can hold while `when` still holds: the episode would end and begin again")


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

"""The kinds of YAML files there are, so that one taken for another is not answered with a hundred unknown keys."""

from typing import Any, Literal, NamedTuple

Kind = Literal["plan", "tests", "mapping", "story", "overlay"]


class _Known(NamedTuple):
    keys: frozenset[str]
    what: str
    taken_by: str
    one_of: frozenset[str] = frozenset()
    """Where no key is a must: any of these, in a file without the name of another kind."""

    def is_one(self, data: dict[Any, Any]) -> bool:
        if self.one_of:
            return data.keys().isdisjoint({"plan", "id", "story"}) and not self.one_of.isdisjoint(data)
        return self.keys <= data.keys()


_KNOWN: dict[Kind, _Known] = {
    "plan": _Known(
        frozenset({"plan", "pools"}), "a plan", "`headroom plan check`, `plan apply` and `what-if --plan` take it"
    ),
    "tests": _Known(frozenset({"plan", "tests"}), "a test of triggers", "`headroom triggers test` takes it"),
    "mapping": _Known(
        frozenset({"id", "events"}), "a mapping of a CSV", "`headroom load deals FILE.csv --map` takes it"
    ),
    "story": _Known(frozenset({"story", "chapters"}), "a story", "`headroom demo` plays it"),
    "overlay": _Known(
        frozenset(),
        "an overlay",
        "`headroom what-if` takes it",
        frozenset({"what_if", "plan_changes", "plan_text", "capacity", "deals", "new_deals"}),
    ),
}
"""By kind: keys at the top that together no other kind has, what it is called, and which command takes it."""


def other_kind(data: Any, wanted: Kind) -> str | None:
    """What ``data`` is instead of the ``wanted`` kind of file, as a sentence; None when that cannot be told."""
    if not isinstance(data, dict) or _KNOWN[wanted].is_one(data):
        return None
    for kind, known in _KNOWN.items():
        if kind != wanted and known.is_one(data):
            return f"this is {known.what}, not {_KNOWN[wanted].what}; {known.taken_by}"
    return None

"""A copy of what the domain keeps that can be changed without the original noticing: for overlays on the live book.

Copied are containers and the domain's own changeable objects, however deep they lie. Everything else — arrays, records,
plans, frozen values — is replaced as a whole wherever it changes and never changed in place, and is shared. So a fork
costs a look at what is held, not at what it was computed from.
"""

from collections import deque
from copy import copy
from dataclasses import is_dataclass
from typing import Any, Final, TypeVar

import msgspec

Held = TypeVar("Held")

_OWN: Final = "services.capacity.domain."


def fork(original: Held) -> Held:
    """``original`` as it is now; what is held twice in it is held twice in the copy, too."""
    made: Held = _Forking().of(original)
    return made


class _Forking:
    """One fork under way: what was copied already, by the original's identity."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._kinds: dict[type, bool] = {}

    def of(self, one: Any) -> Any:
        """A copy if ``one`` can change, else ``one`` itself."""
        kind = type(one)
        changes = self._kinds.get(kind)
        if changes is None:
            changes = self._kinds[kind] = _changes(kind)
        if not changes:
            return one
        made = self._made.get(id(one))
        if made is None:
            made = self._made[id(one)] = copy(one)
            self._fill(made, one)
        return made

    def _fill(self, made: Any, one: Any) -> None:
        if isinstance(one, dict):
            for key, value in one.items():
                if (forked := self.of(value)) is not value:
                    made[key] = forked
        elif isinstance(one, list):
            made[:] = [self.of(value) for value in one]
        elif not isinstance(one, set | deque):
            for name in _attributes(one):
                value = getattr(one, name)
                if (forked := self.of(value)) is not value:
                    setattr(made, name, forked)


def _changes(kind: type) -> bool:
    """Whether instances change in place. What sets and queues hold does not: keys, and pairs of values."""
    if issubclass(kind, dict | list | set | deque):
        return True
    if not kind.__module__.startswith(_OWN) or issubclass(kind, tuple | msgspec.Struct):
        return False
    return not (is_dataclass(kind) and kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _attributes(one: Any) -> list[str]:
    slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(one, name)]
    return [*getattr(one, "__dict__", ()), *slots]

"""Chance that is always the same: what a deal draws in a scenario hangs on its id alone.

Each deal has an order of the scenarios, made by sorting hashes of its id and their numbers (blake2b, then splitmix64,
in whole numbers, so that every machine has the same). Its uniform number in the scenario at place r of that order is
(r + ½) / ``SCENARIOS``: over all scenarios a deal is won as often as its probability says, and only what deals do
together is left to chance.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import score

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.uint16]

SCENARIOS: Final = 1024

_NUMBERS: Final = np.arange(1, SCENARIOS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
UNIFORM: Final = (np.arange(SCENARIOS) + 0.5) / SCENARIOS
SCORES: Final = score(UNIFORM)
"""By place in the order: a uniform, and a standard normal number."""


def ranks(keys: Sequence[str], what: str) -> Ranks:
    """The place of each scenario in the order of each key, for drawing ``what``: shape (keys, ``SCENARIOS``)."""
    known = _KNOWN.setdefault(what, {})
    missing = list(dict.fromkeys(key for key in keys if key not in known))
    if missing:
        if len(known) + len(missing) > _KEPT:
            known.clear()
            missing = list(dict.fromkeys(keys))
        known.update(zip(missing, _ranks(missing, what), strict=True))
    return np.array([known[key] for key in keys], np.uint16).reshape(-1, SCENARIOS)


_KNOWN: Final[dict[str, dict[str, Ranks]]] = {}
"""What was drawn before is only remembered, never different."""
_KEPT: Final = 32768


def _ranks(keys: list[str], what: str) -> Ranks:
    person = what.encode()
    seeds = b"".join(blake2b(key.encode(), digest_size=8, person=person).digest() for key in keys)
    mixed = _mixed(np.frombuffer(seeds, ">u8").astype(np.uint64)[:, None] + _NUMBERS)
    # Sixteen bits are sorted several times as fast as all; where two are the same, the lower scenario comes first.
    return np.argsort((mixed >> np.uint64(48)).astype(np.uint16), axis=1, kind="stable").astype(np.uint16)


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Splitmix64's finish: each number's bits spread over all of it."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


@lru_cache(maxsize=256)
def efforts(cv: float) -> Floats:
    """By place in the order: a gamma-distributed factor of mean one with this coefficient of variation."""
    return np.ones(SCENARIOS) if cv == 0 else np.asarray(positive(np.ones(1), np.array([cv]))[0])


def positive(mean: Floats, deviation: Floats) -> Floats:
    """By row and place in the order: gamma-distributed amounts, by Wilson's and Hilferty's cube, with exact means."""
    shape = (mean / deviation) ** 2
    part = 1.0 / (9.0 * shape[:, None])
    cubes = np.maximum(1.0 - part + SCORES * np.sqrt(part), 0.0) ** 3
    found: Floats = mean[:, None] * cubes / cubes.mean(axis=1, keepdims=True)
    return found

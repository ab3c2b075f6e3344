"""Who is behind an overload: each deal's part of demand in the cases where there is too much, and P without that deal.

For one pool and week the largest deals are what they are (not won, or won and closing 0, 1, 2 … weeks late, with their
uncertain effort) and everything else is a crowd known by three moments, in each of a few situations of the copula. All
are transforms on one grid: with X a deal's contribution, φ its transform and ψ that of x·dF(x), E[X; D > L] is what
ψ · Π φ of the others has beyond the limit L, and P(D − X > L) what Π φ of the others has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.copula import given
from services.capacity.domain.crowd import Moments, unnamed_of, with_deals
from services.capacity.domain.groups import PoolGroup
from services.capacity.domain.members import Members

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]
Places = npt.NDArray[np.intp]

LARGEST: Final = 64
"""Deals of a week taken as they are; the others go into the crowd."""

_FEW: Final = 24
_POINTS: Final = (8192, 2048)
"""Points of the grid for up to ``_FEW`` deals, and for more."""
_SITUATIONS: Final = 16
_NEVER: Final = 1e-6
"""An overload less likely than this is nobody's."""
_ASKS: Final = 1e-9
_SAME: Final = 1e-7
"""Relative: a sum so close to the limit is at it."""
_STRAIGHT: Final = 1e-3
"""A crowd of less skew is normally distributed."""


class TailCauses(NamedTuple):
    """The causes of one week's overload.

    ``deals`` are members by number; ``parts`` what each contributes on average when there is too much, in the pool's
    unit, and ``whole`` what all deals together do; ``without`` is P(demand > limit) if the deal did not exist. ``over``
    is that probability with all of them.
    """

    over: float
    deals: Places
    parts: Floats
    whole: float
    without: Floats


class Tails:
    """The tail of one pool's demand, to be looked at week by week."""

    def __init__(self, limit: Floats, groups: Sequence[PoolGroup], members: Members, rho: float) -> None:
        """``limit``: what deals may ask by week before it is too much. ``members``: also those that are certain."""
        self._limit, self._members = limit, members
        nodes, weights = np.polynomial.hermite_e.hermegauss(_SITUATIONS) if rho > 0 else (np.zeros(1), np.ones(1))
        self._weights = weights / weights.sum()
        self._chances = given(members.probability, rho, nodes)
        self._unnamed = unnamed_of(groups, members, nodes, rho)
        self._expected = members.probability[:, None] * members.first
        self._deviation = np.sqrt(members.variance)

    def at(self, week: int, only: Places | None = None) -> TailCauses:
        """The causes in ``week`` (its place on the axis); with ``only`` of these members alone."""
        chosen, crowd = self._chosen(week, only)
        limit = float(self._limit[week])
        over, total, parts, without = _beyond(limit, self._lumps(week, chosen), crowd, self._weights)
        if only is not None:
            kept = np.isin(chosen, only)
            chosen, parts, without = chosen[kept], parts[kept], without[kept]
        if over < _NEVER:
            return TailCauses(0.0, chosen, np.zeros(len(chosen)), 0.0, np.zeros(len(chosen)))
        without = np.clip(without, 0.0, over)
        return TailCauses(min(over, 1.0), chosen, np.maximum(parts, 0.0) / over, max(total, 0.0) / over, without)

    def without(self, week: int, several: Places) -> float:
        """P(demand > limit) in ``week`` if none of these members existed."""
        chosen, crowd = self._chosen(week, several)
        left = chosen[~np.isin(chosen, several)]
        return _beyond(float(self._limit[week]), self._lumps(week, left), crowd, self._weights)[0]

    def _chosen(self, week: int, wanted: Places | None) -> tuple[Places, Moments]:
        """The largest deals of a week, those ``wanted`` among them; and everybody else."""
        size = self._expected[:, week] + self._deviation[:, week]
        asking = np.flatnonzero(self._expected[:, week] > _ASKS)
        first = np.isin(asking, wanted) if wanted is not None else np.zeros(len(asking), bool)
        chosen = np.sort(asking[np.lexsort((asking, -size[asking], ~first))[:LARGEST]])
        return chosen, self._crowd(week, chosen)

    def _lumps(self, week: int, chosen: Places) -> "_Lumps":
        members = self._members
        cv = np.array(members.cvs)[members.effort[chosen]]
        return _Lumps(members.asked[chosen, :, week], members.pushes[chosen], self._chances[:, chosen], cv)

    def _crowd(self, week: int, chosen: Places) -> Moments:
        """Everything but the chosen, by situation."""
        members = self._members
        aside = np.ones((len(members.deals), members.count), bool)
        aside[chosen, week] = False
        aside[:, :week] = aside[:, week + 1 :] = False
        return with_deals(self._unnamed, members, aside, self._chances).at(np.array([week]))


@dataclass(frozen=True)
class _Lumps:
    """Deals of a week: ``amounts`` and ``pushes`` by deal and lateness, ``chances`` by situation and deal."""

    amounts: Floats
    pushes: Floats
    chances: Floats
    cv: Floats


def _beyond(limit: float, lumps: _Lumps, crowd: Moments, weights: Floats) -> tuple[float, float, Floats, Floats]:
    """Over all situations: P(D > limit), E[D; D > limit], E[X; D > limit] by deal, and P(D − X > limit) by deal."""
    count = len(lumps.amounts)
    points = _POINTS[0] if count <= _FEW else _POINTS[1]
    step = _step(lumps, crowd, points)
    asked, weighed = _transforms(lumps, step, points)
    frequency = 2j * np.pi * np.arange(points // 2 + 1) / points / step
    over, total, parts, without = 0.0, 0.0, np.zeros(count), np.zeros(count)
    for number, weight in enumerate(weights):
        shift, aside, aside_weighed = _of_crowd(crowd.first(number + 1), frequency, step)
        beyond = _indicator(limit - shift, step, points)
        p = lumps.chances[number][:, None]
        before, after = _all_but(1.0 + p * (asked - 1.0))
        others = before[:-1] * after[1:]
        everything = before[-1]
        here = float((everything * aside * beyond).real.sum())
        by_deal = ((p * weighed * others) @ (aside * beyond)).real
        over += weight * here
        parts += weight * by_deal
        without += weight * (others @ (aside * beyond)).real
        rest = float((everything * aside_weighed * beyond).real.sum()) + shift * here
        total += weight * (by_deal.sum() + rest)
    return over, total, parts, without


def _all_but(factors: Complex) -> tuple[Complex, Complex]:
    """Products of the first 0, 1, 2 … factors, and of the last ones from 0, 1, 2 … on."""
    one = np.ones((1, factors.shape[1]), complex)
    before = np.concatenate((one, np.cumprod(factors, axis=0)))
    after = np.concatenate((np.cumprod(factors[::-1], axis=0)[::-1], one))
    return before, after


def _step(lumps: _Lumps, crowd: Moments, points: int) -> float:
    """The grid's step: it holds every sum that is met, and where amounts have a common measure it divides that."""
    most = lumps.amounts.max(axis=1, initial=0.0)
    spread = np.sqrt((lumps.cv * most) ** 2 @ np.ones(len(most))) + 2 * (lumps.cv**2 * most).max(initial=0.0)
    aside = np.sqrt(crowd.variance.max(initial=0.0))
    wide = most.sum() + 7 * spread + 12 * aside
    least = max(float(wide) / (points - 2), 1e-12)
    there = lumps.amounts[lumps.amounts > _ASKS]
    if len(there) and not lumps.cv.any():
        for parts in range(1, 9):
            measure = float(there.min()) / parts
            places = there / measure
            if measure >= least and np.abs(places - np.rint(places)).max() < 1e-6:
                return measure / max(int(measure / least), 1)
    return least


def _transforms(lumps: _Lumps, step: float, points: int) -> tuple[Complex, Complex]:
    """By deal and frequency, given that it is won: E[e^(−iωX)] and E[X e^(−iωX)]."""
    turn = 2j * np.pi * np.arange(points // 2 + 1) / points
    asked = np.zeros((len(lumps.amounts), len(turn)), complex)
    weighed = np.zeros_like(asked)
    for late in range(lumps.amounts.shape[1]):
        place = lumps.amounts[:, late] / step
        share, amount = lumps.pushes[:, late], lumps.amounts[:, late]
        for deal, cv in enumerate(lumps.cv.tolist()):
            if share[deal] <= 0:
                continue
            if cv > 0:
                bent = 1.0 + turn * place[deal] * cv**2
                here = bent ** (-1 / cv**2)
                asked[deal] += share[deal] * here
                weighed[deal] += share[deal] * amount[deal] * here / bent
            else:
                here = _at(float(place[deal]), turn)
                asked[deal] += share[deal] * here
                weighed[deal] += share[deal] * amount[deal] * here
    return asked, weighed


def _at(place: float, turn: Complex) -> Complex:
    """The transform of an amount that is certain; between two points it lies at both, so that its mean stays."""
    low = np.floor(place + 1e-6)
    part = max(place - low, 0.0)
    here = np.exp(-turn * low)
    return np.asarray(here if part < 1e-5 else here * (1.0 - part + part * np.exp(-turn)))


def _of_crowd(crowd: Moments, frequency: Complex, step: float) -> tuple[float, Complex, Complex]:
    """An amount to take off the limit, and the transforms of the rest: a gamma of the last moments, or a normal.

    A crowd narrower than the grid is what it is on average.
    """
    mean, variance, third = (float(each[-1, 0]) for each in (crowd.mean, crowd.variance, crowd.third))
    deviation = float(np.sqrt(max(variance, 0.0)))
    if deviation < step:
        return mean, np.ones_like(frequency), np.zeros_like(frequency)
    shift = mean - 6 * deviation
    mean = 6 * deviation
    skew = float(np.clip(third / deviation**3, -6.0, 6.0))
    if abs(skew) < _STRAIGHT:
        plain = np.exp(-frequency * mean + (frequency * deviation) ** 2 / 2)
        return shift, plain, (mean - frequency * deviation**2) * plain
    begin, scale, shape = mean - 2 * deviation / skew, deviation * skew / 2, 4 / skew**2
    bent = 1.0 + frequency * scale
    curved = np.exp(-frequency * begin) * bent**-shape
    return shift, curved, (begin + shape * scale / bent) * curved


def _indicator(limit: float, step: float, points: int) -> Complex:
    """What a half spectrum is multiplied with, and summed, to give what lies beyond ``limit``."""
    at = (limit + _SAME * max(abs(limit), 1.0)) / step
    beyond = (np.arange(points) > at).astype(np.float64)
    found = np.conj(np.fft.rfft(beyond)) / points
    found[1:-1] *= 2
    return np.asarray(found)

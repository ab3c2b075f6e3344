"""Quantiles of sums on grids against looking at every point."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.bands import SHARES, bands_of
from services.capacity.domain.convolution import Lumps
from services.capacity.domain.copula import Guide, all_of, few
from services.capacity.domain.exact_sums import Moments, Sums, sums_of


def lumps_of(rng: np.random.Generator, situations: int, weeks: int, deals: int, cv: float) -> Lumps:
    """Deals that are likelier to be won the later the situation comes."""
    base = rng.uniform(0.02, 0.9, (weeks, deals))
    rise = np.linspace(0.6, 1.1, situations)
    return Lumps(
        amounts=rng.uniform(1, 60, (weeks, deals, 2)),
        pushes=np.broadcast_to([0.7, 0.3], (weeks, deals, 2)),
        chances=base * rise[:, None, None],
        effort=np.zeros((weeks, deals), np.intp),
        cvs=(cv,),
    )


def moments_of(lumps: Lumps, spread: float, situations: int) -> Moments:
    """A crowd as large as the deals, in each situation the same."""
    mean = np.full((situations, len(lumps.amounts)), 40.0)
    return Moments(mean, mean * 0.0 + spread**2, mean * 0.0 + 0.5 * spread**3)


def slowly(sums: Sums, guide: Guide, weeks: np.ndarray, share: float) -> list[float]:
    """Of each week the first point up to which there is that much, every point looked at."""
    found = []
    for number, week in enumerate(weeks.tolist()):
        places = sums.places[number]
        here = np.full(len(places), week)
        upto = 1.0 - guide.over_all(1.0 - sums.below[:, number], places, here)
        found.append(float(places[np.flatnonzero(upto >= share - 1e-9)[0]]))
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rho=st.sampled_from([0.0, 0.1, 0.4]),
    deals=st.integers(1, 9),
    cv=st.sampled_from([0.0, 0.3]),
    spread=st.sampled_from([0.0, 3.0, 30.0]),
)
def test_the_bands_lie_where_looking_at_every_point_finds_them(seed, rho, deals, cv, spread):
    rng = np.random.default_rng(seed)
    situations, weeks = len(few(rho)), 3
    portions = []
    for points in (64, 128):
        lumps = lumps_of(rng, situations, weeks, deals, cv)
        portions.append(sums_of(np.full(weeks, 100.0), lumps, moments_of(lumps, spread, situations), points))
    count = situations + len(all_of(rho))
    level = 120.0 + 40.0 * np.concatenate((few(rho), all_of(rho)))[:, None] / 3
    weight = rng.uniform(0, 1, 2 * weeks)
    guide = Guide.of(np.broadcast_to(level, (count, 2 * weeks)), np.full((count, 2 * weeks), 900.0), weight, situations)
    bands = bands_of(portions, guide)
    for number, portion in enumerate(portions):
        here = np.arange(weeks) + number * weeks
        for share, band in zip(SHARES, bands[:, here], strict=True):
            # Within the point the share is interpolated.
            assert (np.abs(band - slowly(portion, guide, here, share)) <= 0.5 * portion.step + 1e-9).all()

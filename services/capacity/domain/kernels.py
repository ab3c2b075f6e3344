"""Kernels: how the effort of one unit falls on weeks when its deal may close late; weights are spread by them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.capacity.domain.moments import gather, stack

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kernel:
    """Effort ``g`` by week since the close, closing ``pushes[k]`` of the time k weeks late, with the effort's cv."""

    effort: Floats
    pushes: tuple[float, ...]
    effort_cv: float

    @property
    def length(self) -> int:
        """Weeks from the close to the last effort."""
        return len(self.effort) + len(self.pushes) - 1

    @cached_property
    def mean(self) -> Floats:
        """E[g] by week since the close."""
        return np.convolve(self.effort, self.pushes)

    @cached_property
    def peak(self) -> float:
        """The most that is expected in a week."""
        return float(self.mean.max(initial=0.0))

    @cached_property
    def total(self) -> float:
        """What is expected in all weeks."""
        return float(self.mean.sum())

    @cached_property
    def _reversed(self) -> Floats:
        powers = [np.convolve(self.effort**power, self.pushes) for power in (1, 2, 3)]
        return stack(powers[0], powers[1], powers[2], self.effort_cv)[:, ::-1]

    def spread(self, weights: Floats, lead: int, count: int) -> Floats:
        """Mean, exposure, variance and third moment in each of ``count`` weeks: shape (4, count).

        ``weights`` has a column for each close week, the first of them ``lead`` weeks before the first week computed
        (at least ``length`` - 1).
        """
        begin = lead - self.length + 1
        width, step = weights.strides
        # The windows of ``length`` close weeks that reach into each week, made without the cost of checking them.
        windows: Floats = np.ndarray(
            (len(weights), count, self.length), np.float64, weights, begin * step, (width, step, step)
        )
        return gather(np.einsum("jwl,jl->jw", windows, self._reversed))

    def spread_cumulative(self, weights: Floats, lead: int, count: int, start: int) -> Floats:
        """The same for all that is asked from week ``start`` up to each week."""
        totals = np.concatenate(([0.0], np.cumsum(self.effort)))
        closes = np.arange(weights.shape[1])[:, None] - lead
        weeks = np.arange(count)[None, :]
        powers: list[Floats] = [np.zeros((weights.shape[1], count)) for _ in range(3)]
        for late, share in enumerate(self.pushes):
            upto = totals[np.clip(weeks - closes - late + 1, 0, len(self.effort))]
            before = totals[np.clip(start - closes - late, 0, len(self.effort))]
            asked = np.where(weeks >= start, upto - before, 0.0)
            for power in range(3):
                powers[power] += share * asked ** (power + 1)
        return gather(np.einsum("jc,jcw->jw", weights, stack(powers[0], powers[1], powers[2], self.effort_cv)))

    def outcomes(self, week_since_close: int) -> list[tuple[float, float]]:
        """The effort of one unit in that week with its probability, for each time the deal may close."""
        return [
            (share, float(self.effort[since]) if 0 <= (since := week_since_close - late) < len(self.effort) else 0.0)
            for late, share in enumerate(self.pushes)
        ]

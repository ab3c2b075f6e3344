"""What a line's demand W · q · e · g has for mean, variance and third central moment, from sums over lines.

W is winning, e the effort's factor (mean 1, variance v²), g the effort of one unit in a week given how late the deal
closes; over all lines these are linear in the sums of model.md section 2.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.book import BookCell
from shared.schemas.plan import Product

Floats = npt.NDArray[np.float64]

WEIGHTS: Final = 7
"""Σpq, Σq, Σpq², Σp²q², Σpq³, Σp²q³, Σp³q³ with q in units: what a cell or a line weighs in a projection."""

MEAN, EXPOSURE, VARIANCE, THIRD = range(4)


def stack(g: Floats, g2: Floats, g3: Floats, effort_cv: float) -> Floats:
    """What each weight is multiplied with, from E[g], E[g²] and E[g³] (of any one shape): shape (``WEIGHTS``, …)."""
    spread = 1 + effort_cv**2
    return np.array([g, g, spread * g2, -(g**2), spread**3 * g3, -3 * spread * g * g2, 2 * g**3])


def gather(parts: Floats) -> Floats:
    """Products of weights and their ``stack``, summed to mean, exposure, variance and third moment: (7, w) → (4, w)."""
    variance = np.maximum(parts[2] + parts[3], 0.0)
    return np.array([parts[0], parts[1], variance, parts[4] + parts[5] + parts[6]])


def in_units(product: Product, basis: str) -> tuple[float, float | None]:
    """A line's units: its quantity times the first, or, where the plan says one quantity for all, the second."""
    if basis == "units":
        return 1.0, None
    if product.quantity.from_ == "amount":
        return 1.0 / (product.list_price or 1.0), None
    return 0.0, product.quantity.default


def weights_of(cell: BookCell, product: Product, stage_probability: float | None, won: bool) -> Floats:
    """The weights of a cell. ``stage_probability`` None: the stage is not known, its lines weigh as exposure only."""
    own, stage = cell.own, cell.stage
    factor, fixed = in_units(product, cell.key.basis)
    if fixed is None:
        pq, q, pq2, p2q2, pq3, p2q3, p3q3 = own.pq, own.q, own.pq2, own.p2q2, own.pq3, own.p2q3, own.p3q3
        more, more2, more3 = stage.q, stage.q2, stage.q3
    else:
        factor = fixed
        pq, q, pq2, p2q2, pq3, p2q3, p3q3 = own.p, float(own.count), own.p, own.p2, own.p, own.p2, own.p3
        more = more2 = more3 = float(stage.count)
    two, three = factor**2, factor**3
    if won:
        # Whatever a CRM still says, what is won is certain. (Σq² of such lines is Σpq² with p = 1.)
        total, second, third = (q + more) * factor, (pq2 + more2) * two, (pq3 + more3) * three
        return np.array([total, total, second, second, third, third, third])
    p = stage_probability or 0.0
    by_first = (pq + p * more) * factor, (q + more) * factor
    by_second = (pq2 + p * more2) * two, (p2q2 + p**2 * more2) * two
    by_third = (pq3 + p * more3) * three, (p2q3 + p**2 * more3) * three, (p3q3 + p**3 * more3) * three
    return np.array([*by_first, *by_second, *by_third])


def weights_of_line(units: float, probability: float) -> Floats:
    """The weights of one line."""
    return _of_stage(probability, units, units**2, units**3)


def _of_stage(p: float, q: float, q2: float, q3: float) -> Floats:
    return np.array([p * q, q, p * q2, p**2 * q2, p * q3, p**2 * q3, p**3 * q3])

"""The plan's tethers as kernels: which pools a kind of line asks, and how its effort lies over weeks."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.curves import effort_by_week
from services.capacity.domain.kernels import Kernel
from shared.schemas.cell import CellKey
from shared.schemas.plan import Plan, Product, Stage

Floats = npt.NDArray[np.float64]


class Asking(NamedTuple):
    """What the lines of a group share: all that decides how their demand falls on pools."""

    product: str
    custom: bool
    type: str
    stage: str


def asking_of(key: CellKey) -> Asking:
    """What the lines of a cell ask as."""
    return Asking(key.product, key.custom, key.type, key.stage)


class Tethers:
    """Kernels by what asks, made when first needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.pools = tuple(plan.pools)
        self._kernels: dict[Asking, dict[str, Kernel]] = {}
        self._efforts: dict[tuple[str, bool, str], dict[str, Floats]] = {}
        pushes = max((len(stage.pushes) for stage in plan.stages.values()), default=1)
        efforts = [
            need.after_weeks + (need.weeks or need.curve.length)
            for product in plan.products.values()
            for need in product.needs
        ]
        self.longest = max(efforts, default=1) + pushes
        """No kernel is longer than this many weeks."""

    def of(self, asking: Asking) -> dict[str, Kernel]:
        """The kernel on each pool that these lines ask; empty when they ask none."""
        kernels = self._kernels.get(asking)
        if kernels is None:
            kernels = self._kernels[asking] = self._make(asking)
        return kernels

    def is_cumulative(self, pool: str) -> bool:
        """Stocks and budgets: what was asked in one week is missing in all later ones."""
        return self._plan.pools[pool].kind in ("stock", "budget")

    def first_of(self, asking: Asking) -> int:
        """How many weeks after the close week these lines first ask something of any pool."""
        return min((int(np.flatnonzero(kernel.effort)[0]) for kernel in self.of(asking).values()), default=0)

    def _make(self, asking: Asking) -> dict[str, Kernel]:
        product = self._plan.products.get(asking.product)
        if product is None:
            return {}
        said = asking.product, asking.custom, asking.type
        efforts = self._efforts.get(said)
        if efforts is None:
            efforts = self._efforts[said] = _efforts_of(product, asking)
        pushes = pushes_of(self._plan.stages.get(asking.stage))
        return {pool: Kernel(effort, pushes, product.effort_cv) for pool, effort in efforts.items()}


def _efforts_of(product: Product, asking: Asking) -> dict[str, Floats]:
    """Effort by week on each pool, whatever the stage."""
    efforts: dict[str, Floats] = {}
    for need in product.needs:
        if asking.type not in need.for_:
            continue
        effort, other = effort_by_week(need, asking.custom), efforts.get(need.pool)
        if other is not None:
            # The needs of a line on one pool come together: it wins them all or none.
            length = max(len(effort), len(other))
            effort = np.pad(effort, (0, length - len(effort))) + np.pad(other, (0, length - len(other)))
        efforts[need.pool] = effort
    return {pool: effort for pool, effort in efforts.items() if effort.any()}


def pushes_of(stage: Stage | None) -> tuple[float, ...]:
    """How late a line of this stage closes; what is won, or in a stage nobody knows, closes on its date."""
    return tuple(stage.pushes) if stage is not None and stage.class_ == "open" else (1.0,)

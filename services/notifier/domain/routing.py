"""Who hears of a recalibration: filters of a subscription against what has happened, always with a reason."""

from dataclasses import dataclass, field
from typing import Any

from shared.schemas.episode import SEVERITIES, Severity
from shared.schemas.recalibration import Recalibration


@dataclass(frozen=True, slots=True)
class Filters:
    """What a subscription wants to hear; an empty set does not limit. ``severity`` is the mildest it wants."""

    pools: frozenset[str] = frozenset()
    triggers: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    severity: Severity = "info"

    def stored(self) -> dict[str, Any]:
        """As JSON, to be read again by ``filters_from``."""
        return {
            "pools": sorted(self.pools),
            "triggers": sorted(self.triggers),
            "kinds": sorted(self.kinds),
            "severity": self.severity,
        }


def filters_from(stored: dict[str, Any]) -> Filters:
    """The filters that ``stored`` describes."""
    return Filters(
        frozenset(stored.get("pools", ())),
        frozenset(stored.get("triggers", ())),
        frozenset(stored.get("kinds", ())),
        stored.get("severity", "info"),
    )


@dataclass(frozen=True, slots=True)
class Route:
    """Whether a recalibration goes to a subscription, and why."""

    goes: bool
    reason: str = field(compare=False, default="")


def route(filters: Filters, recalibration: Recalibration) -> Route:
    """Whether a subscription with ``filters`` hears of ``recalibration``.

    A filter on pools never matches a recalibration that concerns no pool. The first filter that objects is the reason.
    """
    if filters.pools and recalibration.pool not in filters.pools:
        return Route(False, f"pool {recalibration.pool or 'none'} is not among {', '.join(sorted(filters.pools))}")
    if SEVERITIES.index(recalibration.severity) < SEVERITIES.index(filters.severity):
        return Route(False, f"severity {recalibration.severity} is below {filters.severity}")
    if filters.triggers and recalibration.trigger not in filters.triggers:
        return Route(False, f"trigger {recalibration.trigger} is not among {', '.join(sorted(filters.triggers))}")
    if filters.kinds and recalibration.kind not in filters.kinds:
        return Route(False, f"{recalibration.kind} is not among {', '.join(sorted(filters.kinds))}")
    return Route(True, "no filter objects")

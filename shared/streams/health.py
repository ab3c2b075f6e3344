"""What a stream worker knows about itself: ready or not, how far behind, and whether it still moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

STALL_AFTER = 60.0
REJOIN_WITHIN = 120.0


@dataclass(slots=True)
class Health:
    """Written by the runtime, read by ``/healthz``, ``/readyz`` and the watchdog.

    ``lag`` is by (topic, partition) in offsets; ``restore`` by shard, from 0 to 1.
    """

    stall_after: float = STALL_AFTER
    rejoin_within: float = REJOIN_WITHIN
    now: Callable[[], float] = monotonic
    assigned: bool = False
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    restore: dict[int, float] = field(default_factory=dict)
    last_progress: float = field(init=False)
    _since_rebalance: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.last_progress = self.now()
        self._since_rebalance = self.now()

    @property
    def ready(self) -> bool:
        """A member of the group whose shards, if it has any, are all restored."""
        return self.assigned and all(done >= 1.0 for done in self.restore.values())

    def reasons(self, not_read: str) -> Iterator[str]:
        """Why it is not ready, in a sentence; ``not_read`` is that sentence until the shards are restored."""
        if not self.assigned:
            yield "no partitions are assigned yet"
        elif not self.ready:
            yield not_read

    def progressed(self) -> None:
        """Something was applied, written or found to be already at its end."""
        self.last_progress = self.now()

    def joining(self) -> None:
        """The group is asked for partitions from now on; what was waited for before that is no stall."""
        self._since_rebalance = self.now()

    def rebalancing(self) -> None:
        """Partitions were taken away; until ``settled`` nothing can be expected to move."""
        self.assigned = False
        if self._since_rebalance is None:
            self._since_rebalance = self.now()

    def settled(self) -> None:
        """The group has assigned partitions, perhaps none."""
        self.assigned = True
        self._since_rebalance = None
        self.last_progress = self.now()

    def problem(self) -> str | None:
        """Why this process should end itself, or None.

        Not when one partition stands still while others move: whether it is stuck, or waits for a restore or its turn,
        is not known here. The alert HeadroomLagStuck tells of each.
        """
        now = self.now()
        if self._since_rebalance is not None:
            waited = now - self._since_rebalance
            return f"joining the group has not finished for {waited:.0f} s" if waited > self.rejoin_within else None
        behind = {place: lag for place, lag in self.lag.items() if lag > 0}
        if behind and now - self.last_progress > self.stall_after:
            (topic, partition), lag = max(behind.items(), key=lambda item: item[1])
            still = now - self.last_progress
            return f"{topic}[{partition}] is {lag} offsets behind and nothing moved for {still:.0f} s"
        return None

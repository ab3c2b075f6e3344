"""The triggers' Prometheus series, each declared once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

trigger_series = CollectorRegistry()

FRAMES_EVALUATED = Counter("headroom_trigger_frames_evaluated_total", "Frames evaluated.", registry=trigger_series)
EVALUATION_SECONDS = Histogram(
    "headroom_trigger_evaluation_seconds",
    "Time to evaluate one frame.",
    buckets=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
    registry=trigger_series,
)
TRANSITIONS = Counter(
    "headroom_trigger_transitions_total", "Transitions of episodes.", ["kind", "severity"], registry=trigger_series
)
EPISODES_ACTIVE = Gauge(
    "headroom_trigger_episodes_active", "Episodes that are not clear.", ["phase"], registry=trigger_series
)
FRAMES_HELD = Gauge("headroom_trigger_frames_held", "Frames that wait for their plan.", registry=trigger_series)
RULES_REJECTED = Gauge(
    "headroom_trigger_rules_rejected",
    "Triggers of the plan in force that cannot be evaluated.",
    registry=trigger_series,
)
AS_OF = Gauge(
    "headroom_trigger_as_of_timestamp_seconds",
    "Moment of the frame evaluated last, by the system's clock.",
    registry=trigger_series,
)


def take_back(_shard: int) -> None:
    """Say no more what is so now: another process does. Times stay, of which the newest counts."""
    EPISODES_ACTIVE.clear()
    FRAMES_HELD.set(0)
    RULES_REJECTED.set(0)

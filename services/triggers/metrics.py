"""The triggers' Prometheus series, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

FRAMES_EVALUATED = Counter("headroom_trigger_frames_evaluated_total", "Frames evaluated")
EVALUATION_SECONDS = Histogram(
    "headroom_trigger_evaluation_seconds",
    "Time to evaluate one frame",
    buckets=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)
TRANSITIONS = Counter("headroom_trigger_transitions_total", "Transitions of episodes", ["kind", "severity"])
EPISODES_ACTIVE = Gauge("headroom_trigger_episodes_active", "Episodes that are not clear", ["phase"])
FRAMES_HELD = Gauge("headroom_trigger_frames_held", "Frames that wait for their plan")
RULES_REJECTED = Gauge("headroom_trigger_rules_rejected", "Triggers of the plan in force that cannot be evaluated")
AS_OF = Gauge("headroom_trigger_as_of_timestamp_seconds", "Moment of the frame evaluated last")

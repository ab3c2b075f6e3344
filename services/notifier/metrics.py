"""Every series of the notifier, each declared once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

notifier_series = CollectorRegistry()

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300, 1800, 7200, 86400)
_LONG = (1, 10, 60, 300, 900, 3600, 4 * 3600, 86400, 2 * 86400, 7 * 86400)

RECALIBRATIONS = Counter(
    "headroom_notifier_recalibrations_total", "Transitions taken in.", ["kind"], registry=notifier_series
)
PLANNED = Counter(
    "headroom_notifier_deliveries_planned_total", "Deliveries planned.", ["type"], registry=notifier_series
)
ATTEMPTS = Counter(
    "headroom_notifier_attempts_total",
    "Attempts by what followed: delivered, again, given-up, gone, or lost (the lease had been taken over).",
    ["channel", "outcome"],
    registry=notifier_series,
)
ATTEMPT_SECONDS = Histogram(
    "headroom_notifier_attempt_seconds",
    "How long attempts took.",
    ["channel"],
    buckets=_SECONDS[:12],
    registry=notifier_series,
)
LATENCY = Histogram(
    "headroom_notifier_delivery_latency_seconds",
    "Wall time from the recalibration's record on the log to its delivery.",
    buckets=_SECONDS,
    registry=notifier_series,
)
RECEIVED_TO_DELIVERY = Histogram(
    "headroom_notifier_received_to_delivery_seconds",
    "Wall time from the door's record of the change that tipped it to the delivery of what it asks.",
    buckets=_SECONDS,
    registry=notifier_series,
)
EVENT_TO_DELIVERY = Histogram(
    "headroom_notifier_event_to_delivery_seconds",
    "From the source's own time of the newest deal to the delivery of what it tipped, by the system's clock.",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400),
    registry=notifier_series,
)
PENDING = Gauge(
    "headroom_notifier_deliveries_pending",
    "Deliveries that are due, will be tried again, or gather what is told together.",
    registry=notifier_series,
)
OLDEST = Gauge(
    "headroom_notifier_oldest_undelivered_seconds",
    "Age of the oldest pending delivery of an active subscription, or of what it gathers to be told together.",
    registry=notifier_series,
)
ACK_SECONDS = Histogram(
    "headroom_notifier_acknowledge_seconds",
    "Time of the system's clock from firing to the first acknowledgement.",
    buckets=_LONG,
    registry=notifier_series,
)
LATE = Gauge(
    "headroom_notifier_recalibrations_late",
    "Open recalibrations past their deadline to acknowledge or to decide, by the system's clock.",
    ["deadline"],
    registry=notifier_series,
)
SUBSCRIPTIONS = Gauge(
    "headroom_notifier_subscriptions",
    "Subscriptions that are enabled, paused by their owner, or gone with their receiver.",
    ["state"],
    registry=notifier_series,
)
OUTBOX_PENDING = Gauge("headroom_notifier_outbox_pending", "Decisions not yet on the log.", registry=notifier_series)
OUTBOX_OLDEST = Gauge(
    "headroom_notifier_outbox_oldest_seconds",
    "Age of the oldest decision not yet on the log.",
    registry=notifier_series,
)
RELAYED = Counter(
    "headroom_notifier_decisions_relayed_total", "Decisions written to the log.", registry=notifier_series
)
RELAYING = Gauge("headroom_notifier_relaying", "1 where this process holds the relay.", registry=notifier_series)
STREAM_CLIENTS = Gauge("headroom_notifier_stream_clients", "Clients of the event stream.", registry=notifier_series)
STREAM_DROPPED = Counter(
    "headroom_notifier_stream_dropped_total", "Clients dropped because they read too slowly.", registry=notifier_series
)
DATABASE_UP = Gauge("headroom_notifier_database_up", "1 while PostgreSQL answers.", registry=notifier_series)

"""Every series that ingest publishes, declared here and nowhere else, by the process that serves it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

door_series, normalise_series = CollectorRegistry(), CollectorRegistry()

ACCEPTED = Counter(
    "headroom_ingest_accepted_total", "Events made durable in the inbox.", ["source"], registry=door_series
)
REFUSED = Counter(
    "headroom_ingest_refused_total", "Requests refused at the door.", ["source", "status"], registry=door_series
)
APPEND_SECONDS = Histogram(
    "headroom_ingest_append_seconds",
    "From a request's events handed to Kafka until all are acknowledged by all replicas.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=door_series,
)
WAITING_BYTES = Gauge(
    "headroom_ingest_waiting_bytes", "Bytes handed to Kafka and not acknowledged yet.", registry=door_series
)
PLANS_PUBLISHED = Counter(
    "headroom_ingest_plans_published_total", "Plans put, by what came of it.", ["outcome"], registry=door_series
)

NORMALISED = Counter(
    "headroom_ingest_normalised_total",
    "Records of the inbox, by what came of them.",
    ["outcome"],
    registry=normalise_series,
)
IGNORED = Counter(
    "headroom_ingest_ignored_total",
    "Genuine events that say nothing of use, by reason.",
    ["reason"],
    registry=normalise_series,
)
DEALS = Gauge(
    "headroom_ingest_deals", "Deals known, deleted ones included, by shard.", ["shard"], registry=normalise_series
)
EVENT_AGE = Histogram(
    "headroom_ingest_received_to_normalised_seconds",
    "From the door's receipt of an event, by the system's clock, to the flush that carries what it changed.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
    registry=normalise_series,
)


def take_back(shard: int) -> None:
    """Say no more how many deals a shard has: another process does, and both would count."""
    DEALS.remove(shard)

"""Every series that ingest publishes, declared here and nowhere else."""

from prometheus_client import Counter, Gauge, Histogram

ACCEPTED = Counter("headroom_ingest_accepted_total", "Events made durable in the inbox.", ["source"])
REFUSED = Counter("headroom_ingest_refused_total", "Requests refused at the door.", ["source", "status"])
APPEND_SECONDS = Histogram(
    "headroom_ingest_append_seconds",
    "From a request's events handed to Kafka until all are acknowledged by all replicas.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
WAITING_BYTES = Gauge("headroom_ingest_waiting_bytes", "Bytes handed to Kafka and not acknowledged yet.")
PLANS_PUBLISHED = Counter("headroom_ingest_plans_published_total", "Plans put, by what came of it.", ["outcome"])

NORMALISED = Counter("headroom_ingest_normalised_total", "Records of the inbox, by what came of them.", ["outcome"])
IGNORED = Counter("headroom_ingest_ignored_total", "Genuine events that say nothing of use, by reason.", ["reason"])
DEAD_LETTERS = Counter("headroom_ingest_dead_letters_total", "Records that could not be used, by reason.", ["reason"])
DEALS = Gauge("headroom_ingest_deals", "Deals known, deleted ones included, by shard.", ["shard"])
EVENT_AGE = Histogram(
    "headroom_ingest_received_to_normalised_seconds",
    "From the door's receipt of an event, by the system's clock, to the flush that carries what it changed.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)

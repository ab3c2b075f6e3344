"""The stream runtime's Prometheus series, each declared once; a process that runs a role serves them with its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

stream_series = CollectorRegistry()

RESTORE_PROGRESS = Gauge(
    "headroom_restore_progress_ratio",
    "Part of a shard's state topics that is applied, 1 when restored.",
    ["role", "shard"],
    registry=stream_series,
)
RESTORE_SECONDS = Gauge(
    "headroom_restore_seconds",
    "How long the shard's last restore took, from its assignment until it went live.",
    ["role", "shard"],
    registry=stream_series,
)
REBALANCES = Counter(
    "headroom_rebalances_total", "Assignments this member was given.", ["role"], registry=stream_series
)
CONSUMER_LAG = Gauge(
    "headroom_consumer_lag_records",
    "Offsets between what is applied and the end of the log.",
    ["role", "topic", "partition"],
    registry=stream_series,
)
TABLE_LAG = Gauge(
    "headroom_table_lag_records",
    "Offsets between what a process has read of a topic that it follows whole, without a group, and the topic's end.",
    ["topic", "partition"],
    registry=stream_series,
)
PLANS_UNREADABLE = Gauge(
    "headroom_plans_unreadable",
    "Published plans that this process cannot read; to it, each is as none.",
    registry=stream_series,
)
RECORDS_APPLIED = Counter(
    "headroom_records_applied_total",
    "Records applied; there from the partition's first assignment on.",
    ["role", "topic", "partition"],
    registry=stream_series,
)
BATCH_RECORDS = Histogram(
    "headroom_batch_records",
    "Records per batch.",
    ["role"],
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
    registry=stream_series,
)
FLUSH_SECONDS = Histogram(
    "headroom_flush_seconds",
    "From the beginning of a flush to its committed transaction.",
    ["role"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=stream_series,
)
FLUSH_RECORDS = Counter("headroom_flush_records_total", "Records written by flushes.", ["role"], registry=stream_series)
TRANSACTIONS_FAILED = Counter(
    "headroom_transactions_failed_total", "Flushes that could not be committed.", ["role"], registry=stream_series
)
DEAD_LETTERS = Counter(
    "headroom_dead_letters_total",
    "Records that could not be used, by reason; what a restart meets again is not counted again.",
    ["reason"],
    registry=stream_series,
)

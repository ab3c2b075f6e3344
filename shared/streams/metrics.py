"""The runtime's Prometheus series, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

RESTORE_PROGRESS = Gauge(
    "headroom_restore_progress_ratio",
    "Part of a shard's state topics that is applied, 1 when restored",
    ["role", "shard"],
)
CONSUMER_LAG = Gauge(
    "headroom_consumer_lag_records",
    "Offsets between what is applied and the end of the log",
    ["role", "topic", "partition"],
)
RECORDS_APPLIED = Counter("headroom_records_applied_total", "Records applied", ["role", "topic"])
BATCH_RECORDS = Histogram(
    "headroom_batch_records", "Records per batch", ["role"], buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
)
FLUSH_SECONDS = Histogram(
    "headroom_flush_seconds",
    "From the beginning of a flush to its committed transaction",
    ["role"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
FLUSH_RECORDS = Counter("headroom_flush_records_total", "Records written by flushes", ["role"])
TRANSACTIONS_FAILED = Counter("headroom_transactions_failed_total", "Flushes that could not be committed", ["role"])
DEAD_LETTERS = Counter("headroom_dead_letters_total", "Records that could not be used", ["reason"])

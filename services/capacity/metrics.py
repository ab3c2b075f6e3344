"""Capacity's Prometheus series, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

DEALS = Gauge("headroom_fold_deals", "Deals that count, by deals partition", ["partition"])
CELLS_WRITTEN = Counter("headroom_fold_cells_written_total", "Cells and marks written by the fold")
PROJECTION_SECONDS = Histogram(
    "headroom_projection_seconds",
    "Time to project what changed",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
FRAMES = Counter("headroom_frames_total", "Frames published", ["kind"])
POSITIONS_CHANGED = Counter("headroom_positions_changed_total", "Positions published")
BOOK_CELLS = Gauge("headroom_book_cells", "Cells in the book, all partitions merged")
BOOK_TIME = Gauge("headroom_book_time_seconds", "Newest source time of a deal in the book")
AS_OF = Gauge("headroom_projection_as_of_seconds", "The moment the last frame speaks of")
REPORT_AGE = Gauge("headroom_report_age_seconds", "Time since a pool's last report", ["pool"])

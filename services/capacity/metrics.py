"""Capacity's Prometheus series, each declared once, by the process that serves them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

fold_series, project_series, views_series = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()

DEALS = Gauge("headroom_fold_deals", "Deals that count, by deals partition.", ["partition"], registry=fold_series)
CELLS_WRITTEN = Counter(
    "headroom_fold_cells_written_total", "Cells and marks written by the fold.", registry=fold_series
)

PROJECTION_SECONDS = Histogram(
    "headroom_projection_seconds",
    "Time to project what changed.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=project_series,
)
FRAMES = Counter(
    "headroom_frames_total", "Frames published, by whether they are complete.", ["kind"], registry=project_series
)
POSITIONS_CHANGED = Counter("headroom_positions_changed_total", "Positions published.", registry=project_series)
POSITIONS_OVERLOADED = Gauge(
    "headroom_positions_overloaded",
    "Weeks of a pool in which utilisation, booked and expected work on what counts, is above 1.",
    ["pool"],
    registry=project_series,
)
BOOK_CELLS = Gauge("headroom_book_cells", "Cells in the book, all partitions merged.", registry=project_series)
BOOK_TIME = Gauge(
    "headroom_book_timestamp_seconds", "Newest source time of a deal in the book.", registry=project_series
)
AS_OF = Gauge(
    "headroom_projection_as_of_timestamp_seconds",
    "The moment the last frame speaks of, by the system's clock.",
    registry=project_series,
)
FRAME_PUBLISHED = Gauge(
    "headroom_frame_published_timestamp_seconds",
    "Wall time at which the last frame was made.",
    registry=project_series,
)
PLAN_IN_FORCE = Gauge("headroom_plan_in_force", "1 while there is a plan to project.", registry=project_series)
REPORT_AGE = Gauge(
    "headroom_report_age_seconds",
    "Time since a pool's last report, by the system's clock.",
    ["pool"],
    registry=project_series,
)

VIEWS_AS_OF = Gauge(
    "headroom_views_as_of_timestamp_seconds", "Moment of the frame that the read models show.", registry=views_series
)
VIEWS_BOOK_TIME = Gauge(
    "headroom_views_book_timestamp_seconds",
    "Newest source time of a deal that the read models show.",
    registry=views_series,
)
VIEWS_HOLDING = Gauge(
    "headroom_views_database_away",
    "1 while a batch is held because the database cannot be reached.",
    registry=views_series,
)
VIEWS_ATTEMPTS_FAILED = Counter(
    "headroom_views_attempts_failed_total", "Attempts to reach the database that failed.", registry=views_series
)
EVENT_TO_POSITION = Histogram(
    "headroom_views_event_to_position_seconds",
    "From the source's own time of the newest deal to its positions in the API, by the system's clock.",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400),
    registry=views_series,
)
RECEIVED_TO_POSITION = Histogram(
    "headroom_views_received_to_position_seconds",
    "Wall time from the door's record of the oldest change in a frame to its positions in the API.",
    buckets=_LATENCY,
    registry=views_series,
)
QUESTION_SECONDS = Histogram(
    "headroom_views_question_seconds",
    "Time to answer a question to the live book (causes, stresses, what-if), without its wait for those before it.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    registry=views_series,
)


def take_back_fold(shard: int) -> None:
    """Say no more how many deals a partition has: another process does, and both would count."""
    DEALS.remove(shard)


def take_back_projection(_shard: int) -> None:
    """Say no more what is so now: another process does. Times stay, of which the newest counts."""
    POSITIONS_OVERLOADED.clear()
    REPORT_AGE.clear()
    BOOK_CELLS.set(0)
    PLAN_IN_FORCE.set(0)

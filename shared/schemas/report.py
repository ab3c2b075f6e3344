"""``reports.v1``: capacity reports — who said what about a pool or a deal, and when. The newest stamp of a key wins."""

from datetime import date
from typing import Literal

import msgspec

from shared.schemas.deal import Stamp

TYPE = "headroom.report.v1"

Kind = Literal["capacity", "backlog", "absence", "hire", "delivery-start", "remaining-effort"]


class Report(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One statement of an owner.

    ``capacity``: ``amount`` of the pool's unit available in ``week``, instead of the plan's figure. ``backlog``:
    undone work at the start of ``week``. ``absence``: ``amount`` lost in ``week``. ``hire``: ``amount`` people start
    on ``day``. ``delivery-start``: work on ``deal`` began on ``day``. ``remaining-effort``: ``amount`` left for
    ``deal`` on ``pool``. A ``withdrawn`` report no longer counts. ``confirms`` names the recalibration whose decided
    effect it confirms.
    """

    kind: Kind
    source: str
    object: str
    reporter: str
    stamp: Stamp
    pool: str | None = None
    deal: str | None = None
    week: str | None = None
    day: date | None = None
    amount: float | None = None
    note: str | None = None
    confirms: str | None = None
    withdrawn: bool = False


def record_key(report: Report) -> bytes:
    """The Kafka key: what the report is about, and which object of the source said it."""
    about = report.pool if report.deal is None else f"{report.deal}@{report.pool or ''}"
    return msgspec.json.encode([about, report.week or "", report.kind, f"{report.source}/{report.object}"])


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Report).decode

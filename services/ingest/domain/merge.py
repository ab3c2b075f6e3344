"""One change merged into one deal, field by field: each field keeps the newest that was ever said of it.

Whatever the order of arrival and however often a change comes, the same changes make the same deal:

- a field takes a value only from a newer stamp (source time, then sequence, then mapping version);
- of two values with one stamp the one later in the order of their JSON bytes wins, which is arbitrary but always the
  same, and lets a deletion win over a creation of the same moment;
- a stamp that is newer but says the same is kept too, or an older change that comes later would undo it;
- ``deleted`` is a field like any other: older events do not revive a deal, a newer creation does, and what was said of
  the other fields meanwhile is there then.

**The single-line form.** Vendors that tell product and quantity as separate properties fill one line by parts, each
with a stamp of its own. Once a deal's ``lines`` were given whole, parts are noted but change nothing.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from services.ingest.domain.change import DealChange, Unusable
from shared.schemas.deal import Deal, Line, Stamp

Outcome = Literal["created", "changed", "confirmed", "nothing-new"]

CLEARED: dict[str, Any] = {
    "deleted": False,
    "name": None,
    "stage": None,
    "close": None,
    "engaged": None,
    "amount": None,
    "currency": None,
    "rate": None,
    "rate_date": None,
    "segment": "",
    "type": "new",
    "custom": False,
    "probability": None,
    "owner": None,
    "account": None,
    "scale": {},
    "lines": [],
}
"""Every field a source may say, with what it is when nobody says it."""

LINE_FIELDS: dict[str, Any] = {"product": "", "quantity": None, "list_amount": None, "arr": None}
"""Parts of the only line of a deal, for sources that tell them one by one."""

_PARTS = frozenset(LINE_FIELDS)

ASSUMED = Stamp(0, 0, 0)
"""The stamp of what a connection assumes: older than anything a source says."""

_EMPTY = CLEARED | LINE_FIELDS

_rank = msgspec.json.Encoder(order="deterministic").encode


class Merged(NamedTuple):
    """The deal after a change, or None when nothing is new.

    ``confirmed``: only stamps are newer. ``nothing-new``: all of it was known, or something newer was.
    """

    deal: Deal | None
    outcome: Outcome


def merge(deal: Deal | None, change: DealChange) -> Merged:
    """What ``change`` makes of ``deal``; the deal given is left as it is. ``Unusable`` for another source's."""
    if deal is None:
        fresh = Deal(id=change.deal_id, source=change.source, object=change.object_id, version=0)
        overtaken = change.values and _overtakes(fresh, change)
        return Merged(_overtaken(fresh, change) if overtaken else _renewed(fresh, _news(fresh, change)), "created")
    if (deal.source, deal.object) != (change.source, change.object_id):
        why = f"{change.source!r} and {deal.source!r} would both have a deal {deal.id!r}"
        raise Unusable("same-id", why)
    if _overtakes(deal, change):
        if not change.values:
            return Merged(None, "nothing-new")
        merged = _overtaken(deal, change)
        for name in change.values:
            if getattr(merged, name) != getattr(deal, name):
                return Merged(merged, "changed")
        return Merged(merged, "confirmed")
    news = _news(deal, change)
    if not news:
        return Merged(None, "nothing-new")
    merged = _renewed(deal, news)
    same = all(getattr(merged, name) == getattr(deal, name) for name in (*news, "lines") if name in CLEARED)
    return Merged(merged, "confirmed" if same else "changed")


def _overtakes(deal: Deal, change: DealChange) -> bool:
    """Whether all of a change is newer than whatever was said of the deal, as nearly every one is."""
    return change.stamp.time > deal.time and not change.defaults and _PARTS.isdisjoint(change.values)


def _overtaken(deal: Deal, change: DealChange) -> Deal:
    """What such a change makes of the deal: there is nothing to weigh."""
    values = {name: CLEARED[name] if value is None else value for name, value in change.values.items()}
    stamp = change.stamp
    fields = deal.fields | dict.fromkeys(values, stamp)
    return msgspec.structs.replace(deal, **values, version=deal.version + 1, time=stamp.time, fields=fields)


def _news(deal: Deal, change: DealChange) -> dict[str, tuple[Any, Stamp]]:
    """The fields that ``change`` says something newer about than ``deal`` knows, with value and stamp."""
    news: dict[str, tuple[Any, Stamp]] = {}
    for values, stamp in ((change.defaults, ASSUMED), (change.values, change.stamp)):
        for name, value in values.items():
            said = _EMPTY[name] if value is None else value
            known = news[name] if name in news else (_value(deal, name), deal.fields.get(name))
            if name in LINE_FIELDS and "lines" in deal.fields:
                known = (said, known[1])  # what the part says is not kept, so it cannot decide between equal stamps
            if _is_newer(said, stamp, *known):
                news[name] = (said, stamp)
    return news


def _is_newer(value: Any, stamp: Stamp, known_value: Any, known_stamp: Stamp | None) -> bool:
    if known_stamp is None or stamp > known_stamp:
        return True
    return stamp == known_stamp and _rank(value) > _rank(known_value)


def _value(deal: Deal, name: str) -> Any:
    return getattr(deal, name) if name in CLEARED else getattr(_only_line(deal), name)


def _only_line(deal: Deal) -> Line:
    """The line that parts are put into; an empty one where there is none, or where lines were given whole."""
    return deal.lines[0] if deal.lines and "lines" not in deal.fields else Line(product="")


def _renewed(deal: Deal, news: dict[str, tuple[Any, Stamp]]) -> Deal:
    """A new deal with ``news`` in, the next version, and ``time`` the newest of all stamps."""
    fields = deal.fields.copy()
    values: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for name, (value, stamp) in news.items():
        fields[name] = stamp
        (values if name in CLEARED else parts)[name] = value
    if parts and "lines" not in fields:
        line = msgspec.structs.replace(_only_line(deal), **parts)
        values["lines"] = [line] if line != Line(product="") else []
    time = max(deal.time, max((stamp.time for _, stamp in news.values()), default=0))
    return msgspec.structs.replace(deal, **values, version=deal.version + 1, time=time, fields=fields)

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
        return Merged(begun(change), "created")
    merged = msgspec.structs.replace(deal, fields=deal.fields.copy())
    outcome = amend(merged, change)
    return Merged(None if outcome == "nothing-new" else merged, outcome)


def begun(change: DealChange) -> Deal:
    """The deal that the first change of it makes, even when that says nothing."""
    said, stamp = change.values, change.stamp
    if said and stamp.time > 0 and not change.defaults and _PARTS.isdisjoint(said):
        # All of it is news, as of nearly every first change, and there is nothing to weigh it with.
        if None in said.values():
            said = {name: CLEARED[name] if value is None else value for name, value in said.items()}
        fields = dict.fromkeys(said, stamp)
        return Deal(
            id=change.deal_id, source=change.source, object=change.object_id, version=1, time=stamp.time,
            fields=fields, **said,
        )  # fmt: skip
    deal = Deal(id=change.deal_id, source=change.source, object=change.object_id, version=0)
    amend(deal, change)
    deal.version = 1
    return deal


def amend(deal: Deal, change: DealChange) -> Outcome:
    """As ``merge``, but ``deal`` itself becomes what the change makes of it: for whoever keeps it nowhere else."""
    if deal.object != change.object_id or deal.source != change.source:
        why = f"{change.source!r} and {deal.source!r} would both have a deal {deal.id!r}"
        raise Unusable("same-id", why)
    if change.stamp.time > deal.time and not change.defaults and _PARTS.isdisjoint(change.values):
        return _overtake(deal, change)
    news = _news(deal, change)
    if not news:
        return "nothing-new"
    names = [name for name in (*news, "lines") if name in CLEARED]
    before = [getattr(deal, name) for name in names]
    _renew(deal, news)
    return "confirmed" if before == [getattr(deal, name) for name in names] else "changed"


def _overtake(deal: Deal, change: DealChange) -> Outcome:
    """All of the change is newer than whatever was said of the deal, as nearly every one is: nothing to weigh."""
    stamp, fields = change.stamp, deal.fields
    outcome: Outcome = "confirmed" if change.values else "nothing-new"
    for name, value in change.values.items():
        said = CLEARED[name] if value is None else value
        if getattr(deal, name) != said:
            outcome = "changed"
        setattr(deal, name, said)
        fields[name] = stamp
    if outcome != "nothing-new":
        deal.version += 1
        deal.time = stamp.time
    return outcome


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


def _renew(deal: Deal, news: dict[str, tuple[Any, Stamp]]) -> None:
    """Put ``news`` in; the next version, and ``time`` the newest of all stamps."""
    parts: dict[str, Any] = {}
    for name, (value, stamp) in news.items():
        deal.fields[name] = stamp
        if name in CLEARED:
            setattr(deal, name, value)
        else:
            parts[name] = value
    if parts and "lines" not in deal.fields:
        line = msgspec.structs.replace(_only_line(deal), **parts)
        deal.lines = [line] if line != Line(product="") else []
    deal.version += 1
    deal.time = max(deal.time, *(stamp.time for _, stamp in news.values()))

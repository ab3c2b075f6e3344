"""One change of an overlay, done to whole cells and to single lines: what becomes of their sums, and where they lie."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import msgspec

from services.capacity.domain.book import BookCell
from services.capacity.domain.bookings import middle_of
from services.capacity.domain.cell_lines import DealLine, scaled, together
from shared.schemas.cell import CellKey, ListSums, Member, OwnSums, StageSums
from shared.schemas.plan import Plan
from shared.schemas.week import week_of
from shared.schemas.what_if import DealChange, Which

_NOTHING: Final = 1e-12


@dataclass(frozen=True)
class Effect:
    """A change in terms of the plan: ``stage`` None and ``probability`` None leave them; ``gone``: they ask nothing.

    ``of_stage``: lines lose the probabilities they brought. ``not_before``: what would have closed earlier closes then.
    ``price`` and ``volume`` are factors. ``settled`` are the plan's stages that are won or lost.
    """

    stage: str | None = None
    gone: bool = False
    of_stage: bool = False
    probability: float | None = None
    custom: bool | None = None
    close: date | None = None
    later: int = 0
    not_before: date | None = None
    price: float = 1.0
    volume: float = 1.0
    settled: frozenset[str] = frozenset()

    def probability_in(self, stage: str) -> float | None:
        """The probability that lines get which were in ``stage``; None: they keep theirs, as do won and lost ones."""
        return None if (self.stage or stage) in self.settled else self.probability


def effect_of(change: DealChange, plan: Plan, today: date) -> Effect:
    """What ``change`` means under ``plan``, whose stages it names."""
    found = Effect(
        stage=change.stage,
        probability=change.probability,
        custom=change.custom,
        close=change.close,
        later=change.close_later_weeks or 0,
        price=1.0 - (change.discount or 0.0),
        volume=1.0 if change.volume is None else change.volume,
        settled=frozenset(name for name, stage in plan.stages.items() if stage.class_ != "open"),
    )
    if change.outcome is not None:
        stage = stage_of(plan, change.outcome)
        found = replace(found, stage=stage, gone=stage is None, not_before=today if change.close is None else None)
    return replace(found, of_stage=found.stage in found.settled)


def stage_of(plan: Plan, kind: str) -> str | None:
    """The plan's first stage of class ``kind``."""
    return next((name for name, stage in plan.stages.items() if stage.class_ == kind), None)


def is_meant(key: CellKey, which: Which, plan: Plan, deal: str | None = None) -> bool:
    """Whether ``which`` means lines of this cell; with ``ids`` only those of a ``deal`` that is named."""
    stage = plan.stages.get(key.stage)
    kind = stage.class_ if stage is not None else "open"
    wanted = which.class_ or ("open" if which.ids is None and which.stages is None else None)
    return (
        (which.ids is None or deal in which.ids)
        and (wanted is None or kind == wanted)
        and (which.stages is None or key.stage in which.stages)
        and (which.segments is None or key.segment in which.segments)
        and (which.products is None or key.product in which.products)
        and (which.types is None or key.type in which.types)
        and (which.custom is None or key.custom == which.custom)
        and (which.closing is None or key.week in which.closing)
    )


def changed_line(line: DealLine, effect: Effect) -> DealLine | None:
    """The line after ``effect``; None: it is gone."""
    if effect.gone:
        return None
    close = _close(date.fromisoformat(line.close) if line.close else None, effect)
    week, month = (week_of(close), close.isoformat()[:7]) if close else ("", "")
    said = effect.probability_in(line.key.stage)
    own = None if effect.of_stage else line.p if said is None else said
    return line._replace(
        key=_key(line.key, effect, week, month),
        p=own,
        net=line.net * effect.price,
        arr=line.arr * effect.price,
        close=close.isoformat() if close else "",
        times=line.times * effect.volume,
    )


def changed_cell(cell: BookCell, effect: Effect) -> BookCell | None:
    """The cell after ``effect`` on all its lines; None: it is gone. Its largest lines are changed with it."""
    if effect.gone:
        return None
    close = _close(_about(cell), effect)
    week, month = (week_of(close), close.isoformat()[:7]) if close else ("", "")
    own, stage, listed = _with_probability(cell, effect)
    found = BookCell(_key(cell.key, effect, week, month), own, stage, listed, _members(cell, effect))
    return _multiplied(_priced(found, effect.price), effect.volume)


def merged(cells: list[BookCell]) -> dict[CellKey, BookCell]:
    """Cells by key, those of one key as one."""
    found: dict[CellKey, BookCell] = {}
    for cell in cells:
        found[cell.key] = together(found[cell.key], cell) if cell.key in found else cell
    return found


def _about(cell: BookCell) -> date | None:
    """A day on which its lines close: all do in one week, and of the month the largest is taken to speak."""
    if cell.members and cell.members[0].close:
        return date.fromisoformat(cell.members[0].close)
    return middle_of(cell.key.week, cell.key.month) if cell.key.week else None


def _close(close: date | None, effect: Effect) -> date | None:
    if effect.close is not None:
        return effect.close
    if close is None:
        return effect.not_before
    close += timedelta(weeks=effect.later)
    return max(close, effect.not_before) if effect.not_before is not None else close


def _key(key: CellKey, effect: Effect, week: str, month: str) -> CellKey:
    return msgspec.structs.replace(
        key,
        stage=key.stage if effect.stage is None else effect.stage,
        custom=key.custom if effect.custom is None else effect.custom,
        week=week,
        month=month,
    )


def _members(cell: BookCell, effect: Effect) -> tuple[Member, ...]:
    found, said = [], effect.probability_in(cell.key.stage)
    for member in cell.members:
        close = _close(date.fromisoformat(member.close) if member.close else None, effect)
        own = None if effect.of_stage else member.p if said is None else said
        found.append(
            msgspec.structs.replace(
                member, p=own, net=member.net * effect.price, close=close.isoformat() if close else ""
            )
        )
    return tuple(found)


def _with_probability(cell: BookCell, effect: Effect) -> tuple[OwnSums, StageSums, ListSums]:
    """The sums once all lines take their stage's probability, or one that is said, or (neither) as they are."""
    p = effect.probability_in(cell.key.stage)
    if not effect.of_stage and p is None:
        return cell.own, cell.stage, cell.listed
    count, q, q2, q3, net = _totals(cell)
    listed = cell.listed
    if p is None:
        nothing = dict.fromkeys(("own_list", "own_net", "own_arr", "p_net", "p_arr"), 0.0)
        return OwnSums(), StageSums(count, q, q2, q3, net), msgspec.structs.replace(listed, **nothing)
    own = OwnSums(
        count=count,
        p=count * p,
        p2=count * p**2,
        p3=count * p**3,
        pq=p * q,
        pq2=p * q2,
        pq3=p * q3,
        p2q2=p**2 * q2,
        p2q3=p**2 * q3,
        p3q3=p**3 * q3,
        q=q,
        p_net=p * net,
        p_list=p * cell.listed.list,
        net=net,
    )
    weighted = {"own_list": listed.list, "own_net": listed.net, "own_arr": listed.arr}
    weighted |= {"p_net": p * listed.net, "p_arr": p * listed.arr}
    return own, StageSums(), msgspec.structs.replace(listed, **weighted)


def _totals(cell: BookCell) -> tuple[int, float, float, float, float]:
    """Number, Σq, Σq², Σq³ and Σnet of all lines.

    Of lines with a probability of their own a cell sums p·q² and p·q³ only. Where all are named the members tell; else
    their probabilities are taken to be alike, which then is exact.
    """
    own, stage = cell.own, cell.stage
    count = own.count + stage.count
    if len(cell.members) == count:
        second, third = (sum(member.q**power for member in cell.members) for power in (2, 3))
    else:
        second = stage.q2 + (own.pq2**2 / own.p2q2 if own.p2q2 > _NOTHING else 0.0)
        third = stage.q3 + (own.pq3**2 / own.p2q3 if own.p2q3 > _NOTHING else 0.0)
    return count, own.q + stage.q, second, third, own.net + stage.net


def _priced(cell: BookCell, price: float) -> BookCell:
    """Money at another price; list prices and effort stay."""
    if price == 1.0:
        return cell
    own = msgspec.structs.replace(cell.own, p_net=cell.own.p_net * price, net=cell.own.net * price)
    stage = msgspec.structs.replace(cell.stage, net=cell.stage.net * price)
    money = ("net", "arr", "own_net", "own_arr", "p_net", "p_arr")
    listed = msgspec.structs.replace(cell.listed, **{name: getattr(cell.listed, name) * price for name in money})
    return msgspec.structs.replace(cell, own=own, stage=stage, listed=listed)


def _multiplied(cell: BookCell, volume: float) -> BookCell:
    """So many times as many lines like these. With fewer nobody can say which are left, and none is named."""
    if volume == 1.0:
        return cell
    return msgspec.structs.replace(scaled(cell, volume), members=cell.members if volume > 1.0 else ())

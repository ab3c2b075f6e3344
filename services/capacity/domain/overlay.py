"""An overlay on a fork of the live book: deals, capacity and the plan as they would be.

Deals that are named by id are taken out of their cells first; each change is then done, in order, to whole cells and to
the lines taken out, and at the end these and the new deals are put in. So the order of changes is the order of the
overlay, and what an overlay does to one deal is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.capacity.domain.axis import local_day
from services.capacity.domain.book import Book, BookCell
from services.capacity.domain.cell_lines import DealLine, lines_of, put_in, take_out, together
from services.capacity.domain.contribution import DealRecord
from services.capacity.domain.forking import fork
from services.capacity.domain.overlay_change import Effect, changed_cell, changed_line, effect_of, is_meant, merged
from services.capacity.domain.overlay_plan import check
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.cell import CellKey
from shared.schemas.deal import Line, Stamp
from shared.schemas.decision import Decision
from shared.schemas.decision import Effect as DecidedEffect
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.report import Kind, Report, record_key
from shared.schemas.what_if import CapacityChange, NewDeal, WhatIf, Which

_NEWEST: Final = 2**62
"""Stamp of what an overlay reports: newer than whatever anybody said."""


@dataclass(frozen=True)
class Laid:
    """A fork with an overlay on it: ``frame`` is its projection, ``lines`` how many deal lines each change meant."""

    projector: Projector
    in_force: PlanInForce
    frame: Frame | None
    lines: list[float]


def named_in(overlay: WhatIf) -> list[str]:
    """The deals that the overlay names, each once."""
    return list(dict.fromkeys(deal for change in overlay.deals for deal in change.of.ids or ()))


def lay(
    live: Projector, in_force: PlanInForce, now: datetime, overlay: WhatIf, deals: Mapping[str, DealRecord]
) -> Laid:
    """Lay ``overlay`` over ``live``, which stays as it is. ``deals`` are those it names, as the book holds them.

    ``in_force`` is the plan to hold the book against: ``plan_of`` the overlay. Raises UnfitOverlay when it cannot be,
    NotInBook when the book holds other deals than these.
    """
    plan = in_force.plan
    check(overlay, plan)
    copy = fork(live)
    _capacity(copy, overlay.capacity, now)
    lines = [line for deal, record in deals.items() for line in lines_of(deal, record)]
    changed = take_out(copy.book, lines)
    counts: list[float] = []
    for change in overlay.deals:
        effect = effect_of(change, plan, local_day(plan, now))
        lines, meant = _on_lines(lines, change.of, effect, plan)
        touched, many = _on_cells(copy.book, change.of, effect, plan)
        changed |= touched
        counts.append(meant + many)
    new = [line for number, deal in enumerate(overlay.new_deals, 1) for line in _new(deal, number)]
    changed |= put_in(copy.book, [*lines, *new])
    copy.cells_changed(changed)
    return Laid(copy, in_force, copy.project(now, in_force), counts)


def _on_lines(lines: list[DealLine], which: Which, effect: Effect, plan: Plan) -> tuple[list[DealLine], float]:
    left: list[DealLine] = []
    meant = 0.0
    for line in lines:
        one: DealLine | None = line
        if is_meant(line.key, which, plan, line.deal):
            meant += line.times
            one = changed_line(line, effect)
        if one is not None:
            left.append(one)
    return left, meant


def _on_cells(book: Book, which: Which, effect: Effect, plan: Plan) -> tuple[set[CellKey], float]:
    """Change the cells that are meant; answers all that sum to something else now, and how many lines they had."""
    meant = [key for key in book if is_meant(key, which, plan)] if which.ids is None else []
    before: Sequence[BookCell] = [cell for key in meant if (cell := book.cell(key)) is not None]
    for key in meant:
        book.put(key, None)
    after = merged([new for cell in before if (new := changed_cell(cell, effect)) is not None])
    for key, cell in after.items():
        there = book.cell(key)
        book.put(key, cell if there is None else together(there, cell))
    return {*meant, *after}, sum(cell.own.count + cell.stage.count for cell in before)


def _new(deal: NewDeal, number: int) -> list[DealLine]:
    record = DealRecord(
        stage=deal.stage,
        close=deal.close.isoformat(),
        segment=deal.segment,
        type=deal.type,
        custom=deal.custom,
        probability=deal.probability,
        lines=[
            Line(product=one.product, quantity=one.quantity, amount=one.amount,
                       list_amount=one.list_amount, arr=one.arr)
            for one in deal.lines
        ],
    )  # fmt: skip
    return lines_of(deal.id or f"what-if/{number}", record)


def _capacity(copy: Projector, changes: Sequence[CapacityChange], now: datetime) -> None:
    for number, change in enumerate(changes):
        for report in _reports(change, number):
            copy.reported(copy.reports.put(record_key(report), report))
        if change.more is not None:
            effect = DecidedEffect(pool=change.pool, weeks=change.weeks or [], amount=change.more)
            name = f"what-if/{number}"
            copy.decisions.put(Decision(id=name, recalibration=name, kind="decided", at=now, by="", effects=[effect]))
            copy.decided()


def _reports(change: CapacityChange, number: int) -> list[Report]:
    def report(kind: Kind, amount: float, week: str | None = None) -> Report:
        return Report(
            kind=kind, source="what-if", object=str(number), reporter="", stamp=Stamp(_NEWEST, number),
            pool=change.pool, week=week, day=change.start, amount=amount,
        )  # fmt: skip

    if change.hire is not None:
        return [report("hire", change.hire)]
    said: tuple[tuple[Kind, float | None], ...] = (
        ("absence", change.absence),
        ("capacity", change.capacity),
        ("backlog", change.backlog),
    )
    weeks = change.weeks or []
    return [report(kind, amount, week) for kind, amount in said if amount is not None for week in weeks]

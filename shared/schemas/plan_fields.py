"""Everything a trigger may watch and what its conditions may speak of: the one table of fields, units and meanings.

Conditions are type-checked against it, the triggers service reads exactly these fields, and the reference in the guide
is made from it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NEVER = 3650.0
"""Days of silence that stand for a pool which has never reported."""
NO_WEEK = 520.0
"""Weeks that stand for "not within the table"."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a watched thing; ``low`` and ``high`` are the least and the most it can be."""

    name: str
    type: Literal["number", "text"]
    unit: str
    meaning: str
    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of thing that is watched: what one ``scope`` of it is, what narrows it, and its fields.

    ``pool``: each scope is about a pool, whose owner can be asked. ``needed`` are those of ``where`` that must be said.
    """

    scope: str
    where: tuple[str, ...]
    fields: tuple[Field, ...]
    pool: bool
    needed: tuple[str, ...] = ()

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)


def _number(name: str, unit: str, meaning: str, low: float = 0.0, high: float = math.inf) -> Field:
    return Field(name, "number", unit, meaning, low, high)


def _signed(name: str, unit: str, meaning: str) -> Field:
    return Field(name, "number", unit, meaning, -math.inf)


def _text(name: str, meaning: str) -> Field:
    return Field(name, "text", "text", meaning)


_UNIT = "pool's unit"
_A_WEEK = "pool's unit a week"
_MONEY = "plan's currency"

POSITION = (
    _number("utilisation", "share", "(base + booked + expected) / capacity; unknown without capacity"),
    _number("overload", "probability", "chance that demand exceeds capacity", high=1.0),
    _number("overload_planned", "probability", "the same with planned demand added: milestones not yet in the pipeline",
            high=1.0),
    _signed("headroom", _UNIT, "capacity less expected demand"),
    _number("backlog", _UNIT, "work carried over at the week's end"),
    _number("delay_weeks", "weeks", "how long the backlog takes to work off"),
    _number("backlog_mean", _UNIT, "the same on whole paths, on average"),
    _number("backlog_p80", _UNIT, "the same on whole paths, not exceeded in four of five cases"),
    _number("late", "probability", "chance that the backlog takes longer to work off than the pool allows", high=1.0),
    _number("capacity", _UNIT, "what counts: reported, else by the plan, with decided effects"),
    _number("by_plan", _UNIT, "capacity by the plan"),
    _number("reported", _UNIT, "capacity by the owner's report; unknown without one"),
    _signed("decided", _UNIT, "decided effects on capacity that no report has confirmed"),
    _number("base", _UNIT, "work that no deal explains"),
    _number("booked", _UNIT, "demand of won deals"),
    _number("expected", _UNIT, "demand of open deals, weighted by probability"),
    _number("planned", _UNIT, "demand of milestones (else of the trailing 13 weeks' wins) not yet in the pipeline"),
    _number("exposure", _UNIT, "demand of all open deals if they all close"),
    _number("p50", _UNIT, "demand not exceeded in half of the cases"),
    _number("p80", _UNIT, "demand not exceeded in four of five cases"),
    _number("p95", _UNIT, "demand not exceeded in nineteen of twenty cases"),
    _number("demand", _UNIT, "base + booked + expected"),
    _number("missing", _UNIT, "the higher of demand and p80, above capacity"),
    _number("weeks_ahead", "weeks", "from the present week; the position's own place"),
    _text("pool", "the pool's name in the plan"),
    _text("week", "ISO week, such as 2026-W14"),
)  # fmt: skip

POOL = (
    _number("first_overloaded", "weeks", "until expected demand first exceeds capacity; 520 when it never does"),
    _number("overloaded_weeks", "weeks", "in which expected demand exceeds capacity"),
    _number("missing", _UNIT, "what is missing over these weeks to be safe (the higher of demand and p80)"),
    _signed("hire_by", "weeks", "left to decide the hires that close the gap; below 0: too late; 520 without a gap; "
            "unknown when the pool does not hire"),
    _number("people", "people", "whose hiring closes the gap; unknown when the pool does not hire"),
    _signed("slack", _UNIT, "of the quarter's weeks still to come: capacity less base and booked"),
    _signed("burn_short", "times even pace", "the slack booked in the last 7 days against spending it evenly over "
            "the quarter; unknown without a week of history"),
    _signed("burn_long", "times even pace", "the same over the last 28 days, or as many as are known"),
    _text("pool", "the pool's name in the plan"),
)  # fmt: skip

WORK = (
    _number("slip_weeks", "weeks", "finish later than due"),
    _number("slip_mean", "weeks", "the slip on whole paths, on average"),
    _number("slip_p80", "weeks", "the slip on whole paths, not exceeded in four of five cases"),
    _number("late", "probability", "chance that it slips at all, on whole paths", high=1.0),
    _number("without_deals", "weeks", "the slip if no deal took effort"),
    _number("effort", _UNIT, "the item's whole effort"),
    _signed("weeks_to_due", "weeks", "from the present week"),
    _text("work", "the work item's name in the plan"),
    _text("pool", "the pool that owes it"),
    _text("due", "ISO week"),
    _text("finish", "ISO week; unknown beyond the horizon"),
)

REPORT = (
    _number("report_age", "days", "since the pool's last report; 3650 when it never reported"),
    _signed("overdue", "days", "report_age beyond the plan's report_every; unknown when the plan sets none"),
    _number("stated", _A_WEEK, "capacity the owner states for the present week: reported, else by the plan"),
    _number("observed", _A_WEEK, "capacity by observation: throughput / share of time busy (utilisation law); while "
            "work waits, throughput; unknown without such signals"),
    _signed("divergence", "share", "stated / observed - 1: above 0 the throughput contradicts the report, a hidden "
            "bottleneck; below 0 the pool does more than it states"),
    _number("padding", "share", "what is done beyond what is stated, as a share of it; 0 when nothing is"),
    _number("waiting", _UNIT, "work in the pool, observed; else arrivals x time in it (Little's law)"),
    _number("turnaround", "weeks", "time work spends in the pool, observed; else waiting / throughput (Little's law)"),
    _number("effort_drift", "share", "effort of won deals with what is reported to be left / by the plan's needs; "
            "unknown without reports of remaining-effort"),
    _text("pool", "the pool's name in the plan"),
)  # fmt: skip

SIGNAL = (
    _signed("per_week", "the kind's unit a week", "rate of the last 7 days, or of those that something covers"),
    _signed("before", "the kind's unit a week", "the same for the 28 days before those; unknown with less than 7"),
    _signed("change", "share", "per_week / before - 1"),
    _signed("mean", "the kind's unit", "mean of the observations of the last 7 days; unknown without any"),
    _signed("mean_before", "the kind's unit", "mean of the observations of the 28 days before those"),
    _number("silent_days", "days", "since the newest observation"),
    _text("kind", "the kind of signal, such as tickets-opened"),
)

DEAL = (
    _number("untethered", "deals", "that ask nothing of any pool: no, unknown or unconnected product"),
    _number("untethered_value", _MONEY, "their value"),
    _number("stale", "deals", "open and past their close date by more than the stage allows"),
    _number("stale_value", _MONEY, "their value"),
    _number("unknown_stage", "deals", "in a stage that the plan does not name"),
    _number("no_close_date", "deals", "without a close date"),
    _number("no_rate", "deals", "whose money is left out because no exchange rate is known"),
    _number("booking_rate", "lines a week", "entering commit or won: closing in the last and the present week so far"),
    _number("booking_trend", "lines a week", "mean of the eight weeks before those"),
    _signed("booking_change", "share", "booking_rate / booking_trend - 1; unknown without a trend"),
    _number("booking_value", _MONEY + " a week", "the same for their value"),
    _signed("value_change", "share", "booking_value / its trend - 1; unknown without a trend"),
    _number("pace", "units a week", "that the milestones ask for in the present week"),
    _number("of_pace", "share", "units booked a week / pace; unknown without milestones"),
)

MILESTONE = (
    _number("won", "units", "won in the milestone's window"),
    _number("expected", "units", "open in its window, weighted by probability"),
    _number("quantity", "units", "that are to be won"),
    _number("planned", "units", "that are to be won by now, by its linearity"),
    _number("of_planned", "share", "won / planned; unknown before anything is planned"),
    _number("of_quantity", "share", "(won + expected) / quantity"),
    _signed("weeks_to_due", "weeks", "from the present week"),
    _text("milestone", "its name in the plan"),
    _text("product", "what is sold"),
)

FORECAST = (
    _signed("bookings", _MONEY, "closed and expected in the period"),
    _signed("closed", _MONEY, "won in the period"),
    _signed("expected", _MONEY, "open in the period, weighted by probability"),
    _signed("bookings_p20", _MONEY, "bookings exceeded in four of five cases"),
    _signed("of_target", "share", "bookings / the plan's for the period; unknown of a segment"),
    _signed("margin", "share", "margin / bookings, the cost of overload taken off; unknown without bookings"),
    _signed("margin_value", _MONEY, "bookings less cost of units, effort and overload"),
    _signed("margin_p20", _MONEY, "margin_value exceeded in four of five cases"),
    _signed("margin_to_target", "share", "margin less the plan's for the period; unknown of a segment"),
    _signed("margin_change", _MONEY, "of margin_value, since the forecast before"),
    _number("overload_cost", _MONEY, "of effort beyond capacity, at the plan's rates for overtime and contractors"),
    _signed("discount", "share", "of all lines with a list price, closed and expected; unknown without any"),
    _signed("open_discount", "share", "of open quotes with a list price; unknown without any"),
    _signed("discount_before", "share", "in the same weeks of earlier periods; unknown without a past"),
    _signed("discount_drift", "share", "how far open quotes have moved from that (EWMA); unknown without a past"),
    _number("discount_cusum", "standard deviations", "how sure that is (CUSUM): above 5 it is no noise; unknown "
            "without a past"),
    _number("break_even", "share", "more volume that makes up for the drift; unknown when none does or nothing drifts"),
    _number("unlisted", "share", "lines without a list price, which no discount knows of; unknown without lines"),
    _number("revenue_at_risk", _MONEY, "yearly revenue that late deliveries and releases put at risk"),
    _number("at_risk", "share", "revenue_at_risk / all yearly revenue; unknown without any"),
    _number("nrr", "share", "net revenue retention by signals of the last twelve weeks; unknown without them"),
    _number("busiest", "share", "utilisation of the busiest pool that its deals ask; unknown without one"),
    _signed("weeks_left", "weeks", "of the period, the present one included; 0 and below once it is over"),
    _text("period", "calendar quarter, such as 2026-Q2"),
    _text("segment", "the segment; * for everything"),
)  # fmt: skip

WATCHED: Mapping[str, Watched] = {
    "position": Watched("pool", ("pool", "function", "within_weeks"), POSITION, pool=True),
    "pool": Watched("pool", ("pool", "function", "within_weeks"), POOL, pool=True),
    "work": Watched("work item", ("work", "pool"), WORK, pool=True),
    "report": Watched("pool", ("pool", "function"), REPORT, pool=True),
    "signal": Watched("kind, of one pool or of all", ("kind", "pool"), SIGNAL, pool=False, needed=("kind",)),
    "deal": Watched("the book, or one product", ("product",), DEAL, pool=False),
    "milestone": Watched("milestone", ("milestone", "product"), MILESTONE, pool=False),
    "forecast": Watched("period of the plan, everything or one segment", ("period", "segment"), FORECAST, pool=False),
}
"""What can be watched."""

"""Overlays against the same changes made to the deals themselves and projected from nothing."""

import msgspec
import pytest
from hypothesis import given, settings

from services.capacity.domain import contribution
from services.capacity.domain.cell_lines import NotInBook
from services.capacity.domain.overlay import lay, named_in
from services.capacity.domain.overlay_change import merged
from services.capacity.domain.overlay_plan import UnfitOverlay, plan_of
from services.capacity.domain.pool import WHOLE, Depth
from services.capacity.domain.projector import PlanInForce, Projector
from services.capacity.domain.what_if import compared
from shared.errors import PlanError
from shared.schemas.deal import Deal, Line, Stamp, decode, encode
from shared.schemas.report import Report, record_key
from shared.schemas.what_if import WhatIf
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.changed_deals import BOOKS, CHANGES, changed, is_meant
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool

NEED = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": [3.0, 5.0, 2.0]}}
POOLS = {
    "eng": work_pool(60.0, hire={"lead_weeks": 2, "ramp": [0.5, 1.0], "hours": 30, "attrition": 0.0,
                                 "cost_per_week": 2000}),
    "ops": work_pool(25.0),
}  # fmt: skip
PRODUCTS = {
    "basic": {"needs": [NEED], "quantity": {"from": "amount"}, "list_price": 1000.0},
    "enterprise": {"needs": [NEED, {"pool": "ops", "effort": 4.0, "custom_factor": 3.0}], "effort_cv": 0.3},
}
PLAN = plan(
    POOLS, PRODUCTS, uncertainty={"win_correlation": 0.1},
    work={"release": {"pool": "eng", "effort": 200.0, "start": "2026-W14", "due": "2026-W18"}},
)  # fmt: skip
IN_FORCE = PlanInForce("small@1", PLAN)

Deals = dict[str, Deal]
MEANS = Depth(tails=False, paths=False)


def projected(deals: Deals, in_force: PlanInForce = IN_FORCE, depth: Depth = WHOLE) -> Projector:
    projector = Projector(depth)
    projector.cells_changed(Partition(projector.book).put({name: encode(one) for name, one in deals.items()}))
    projector.project(NOW, in_force)
    return projector


def records(deals: Deals, overlay: WhatIf) -> dict:
    return {name: contribution.decode(encode(deals[name])) for name in named_in(overlay)}


def laid_over(deals: Deals, overlay: WhatIf, live: Projector | None = None):
    return lay(live or projected(deals), plan_of(IN_FORCE, overlay), NOW, overlay, records(deals, overlay))


def same(one: Projector, other: Projector) -> None:
    """Both hold the same book, but for rounding, and expect the same of every week."""
    book, known = by_week(one), by_week(other)
    assert book.keys() == known.keys()
    for key, cell in book.items():
        then = known[key]
        assert cell.members == then.members, key
        for sums, wanted in ((cell.own, then.own), (cell.stage, then.stage), (cell.listed, then.listed)):
            found = msgspec.structs.astuple(sums)
            assert found == pytest.approx(msgspec.structs.astuple(wanted), rel=1e-9, abs=1e-9), key
    for key, row in one.positions.items():
        for name in ("capacity", "booked", "expected", "exposure", "headroom", "backlog"):
            assert getattr(row, name) == pytest.approx(getattr(other.positions[key], name), rel=1e-6, abs=1e-6), key


def by_week(projector: Projector) -> dict:
    """The cells of a book whatever their months: of a cell that moves, all lines are taken to close in one month."""
    cells = (projector.book.cell(key) for key in projector.book)
    return merged([msgspec.structs.replace(cell, key=msgspec.structs.replace(cell.key, month="")) for cell in cells])


@settings(max_examples=40, deadline=None)
@given(made=BOOKS, changes=CHANGES)
def test_an_overlay_says_what_the_changed_deals_would(made, changes):
    deals = {one.id: one for one in made}
    said = [{"of": {k: [i for i in v if i in deals] if k == "ids" else v for k, v in of.items()}, **what}
            for of, what in changes]  # fmt: skip
    said = [change for change in said if change["of"].get("ids") != []]
    if not said:
        return
    overlay = WhatIf.model_validate({"deals": said})
    live = projected(deals, depth=MEANS)
    before = dict(live.positions), dict(live.work), {key: live.book.cell(key) for key in live.book}
    laid = laid_over(deals, overlay, live)
    after = dict(deals)
    counts = []
    for change in said:
        meant = [name for name, one in after.items() if is_meant(one, change["of"])]
        counts.append(len(meant))
        after |= {name: changed(after[name], change) for name in meant}
    assert laid.lines == counts
    same(laid.projector, projected(after, depth=MEANS))
    assert (dict(live.positions), dict(live.work), {key: live.book.cell(key) for key in live.book}) == before


@settings(max_examples=20, deadline=None)
@given(made=BOOKS, new=BOOKS)
def test_new_deals_are_as_if_they_were_there(made, new):
    deals = {one.id: one for one in made}
    more = [one for one in new if one.close is not None]
    if not more:
        return
    said = [
        {"id": f"new/{one.id}", "stage": one.stage, "close": str(one.close), "segment": one.segment,
         "custom": one.custom, "lines": [{"product": one.lines[0].product, "quantity": one.lines[0].quantity}],
         **({"probability": one.lines[0].probability} if one.lines[0].probability is not None else {})}
        for one in more
    ]  # fmt: skip
    laid = laid_over(deals, WhatIf.model_validate({"new_deals": said}), projected(deals, depth=MEANS))
    same(laid.projector, projected({**deals, **{f"new/{one.id}": one for one in more}}, depth=MEANS))


def test_a_discount_moves_money_and_no_effort():
    money = {"amount": 2000.0, "list_amount": 2500.0, "arr": 1000.0}
    deals = {f"crm/{n}": decode(deal(n, Line("basic", **money), segment="smb" if n else "")) for n in range(3)}
    change = {"of": {"segments": ["smb"]}, "discount": 0.2}
    by_id = {"of": {"ids": ["crm/1", "crm/2"]}, "discount": 0.2}
    live = projected(deals)
    for said in (change, by_id):
        laid = laid_over(deals, WhatIf.model_validate({"deals": [said]}), live)
        assert laid.lines == [2]
        assert laid.projector.positions == live.positions
        (key,) = (key for key in live.book if key.segment == "smb")
        then, now = live.book.cell(key), laid.projector.book.cell(key)
        assert (now.stage.net, now.listed.net, now.listed.arr) == pytest.approx((3200.0, 3200.0, 1600.0))
        assert (now.stage.q, now.listed.list, len(now.members)) == (then.stage.q, then.listed.list, 2)
        assert [member.net for member in now.members] == pytest.approx([1600.0, 1600.0])


def test_a_discount_is_re_forecast_with_its_bridge():
    deals = {f"crm/{n}": decode(deal(n, Line("basic", amount=9000.0, list_amount=10_000.0), stage="won" if n else
                                     "qualified", segment="smb")) for n in range(4)}  # fmt: skip
    live = projected(deals)
    said = [{"of": {"segments": ["smb"], "class": "won"}, "discount": 0.2}]
    laid = laid_over(deals, WhatIf.model_validate({"deals": said}), live)
    answer = compared(live, {}, laid, 100)
    assert answer["positions"] == []
    rows = {(row["period"], row["segment"]): row for row in answer["forecasts"]}
    assert ("2026-Q2", "smb") in rows
    for row in rows.values():
        assert row["difference"]["bookings"] == pytest.approx(-5400.0)
        assert row["difference"]["margin"] == pytest.approx(-5400.0)
        assert row["after"]["bridge"].price == pytest.approx(-5400.0)
    assert compared(live, {}, laid_over(deals, WhatIf.model_validate(
        {"deals": [{"of": {"segments": ["smb"]}, "close_later_weeks": 0}]}), live), 100)["forecasts"] == []  # fmt: skip


@pytest.mark.parametrize("volume", [0.5, 1.33, 3.0])
@pytest.mark.parametrize("of", [{"products": ["enterprise"]}, {"ids": ["crm/1", "crm/2", "crm/3"]}])
def test_volume_is_so_many_times_as_many_deals(volume, of):
    deals = {f"crm/{n}": decode(deal(n, Line("enterprise", quantity=1.0 + n, probability=0.5))) for n in (1, 2, 3)}
    live = projected(deals)
    laid = laid_over(deals, WhatIf.model_validate({"deals": [{"of": of, "volume": volume}]}), live)
    for key, row in live.positions.items():
        assert laid.projector.positions[key].expected == pytest.approx(row.expected * volume)
        assert laid.projector.positions[key].exposure == pytest.approx(row.exposure * volume)


def test_capacity_is_what_reports_and_decisions_would_make_it():
    deals = {"crm/1": decode(deal(1, Line("basic", quantity=10.0)))}
    said = [
        {"pool": "eng", "hire": 2.0, "start": "2026-04-13"},
        {"pool": "eng", "absence": 15.0, "weeks": "2026-W14"},
        {"pool": "ops", "capacity": 5.0, "weeks": "2026-W15..2026-W16"},
        {"pool": "ops", "more": 7.0, "weeks": ["2026-W16", "2026-W18"]},
    ]
    live = projected(deals)
    now = laid_over(deals, WhatIf.model_validate({"capacity": said}), live).projector.positions
    eng = [now["eng", f"2026-W{week}"].capacity for week in range(14, 19)]
    assert eng == [45.0, 60.0, 90.0, 120.0, 120.0]
    assert [now["ops", f"2026-W{week}"].capacity for week in range(14, 19)] == [25.0, 5.0, 12.0, 25.0, 32.0]
    assert live.positions["eng", "2026-W14"].capacity == 60.0
    # What was reported before does not stand against it.
    report = Report(kind="capacity", source="x", object="1", reporter="ana", stamp=Stamp(9), pool="ops",
                    week="2026-W15", amount=99.0)  # fmt: skip
    live.reported(live.reports.put(record_key(report), report))
    live.project(NOW, IN_FORCE)
    now = laid_over(deals, WhatIf.model_validate({"capacity": said}), live).projector.positions
    assert now["ops", "2026-W15"].capacity == 5.0
    assert live.positions["ops", "2026-W15"].capacity == 99.0


def test_parts_of_the_plan_or_all_of_it_may_change():
    deals = {"crm/1": decode(deal(1, Line("basic", quantity=10.0)))}
    live = projected(deals)
    changes = {"pools": {"ops": None, "eng": {"capacity": {"per_week": 10.0}}}, "products": {"enterprise": None}}
    laid = laid_over(deals, WhatIf.model_validate({"plan_changes": changes}), live)
    assert {pool for pool, _ in laid.projector.positions} == {"eng"}
    assert laid.projector.positions["eng", "2026-W14"].capacity == 10.0
    assert laid.projector.positions["eng", "2026-W14"].expected == live.positions["eng", "2026-W14"].expected
    answer = compared(live, {}, laid, 1000)
    gone = [row for row in answer["positions"] if row["pool"] == "ops"]
    assert gone
    assert all(row["after"] is None and row["difference"] == {} for row in gone)
    assert [row["pool"] for row in answer["pools"]] == ["eng", "ops"]

    with pytest.raises(UnfitOverlay) as wrong:
        laid_over(deals, WhatIf.model_validate({"plan_changes": {"pools": {"eng": {"owner": "zoe"}}}}), live)
    ((path, message),) = wrong.value.findings
    assert path == ("plan_changes", "pools", "eng", "owner")
    assert message.startswith("pools.eng.owner: ")
    with pytest.raises(PlanError):
        laid_over(deals, WhatIf.model_validate({"plan_text": "plan: x"}), live)


def test_what_the_plan_does_not_know_is_named_with_its_place():
    said = {
        "capacity": [
            {"pool": "enh", "more": 1.0, "weeks": "2026-W14"},
            {"pool": "ops", "hire": 1.0, "start": "2026-04-13"},
        ],
        "deals": [{"of": {"products": ["gold"], "stages": ["won"]}, "stage": "close"}],
        "new_deals": [{"stage": "won", "close": "2026-04-01", "lines": [{"product": "silver"}]}],
    }  # fmt: skip
    with pytest.raises(UnfitOverlay) as wrong:
        laid_over({}, WhatIf.model_validate(said))
    found = dict(wrong.value.findings)
    assert found["capacity", 0, "pool"] == "the plan has no pool 'enh'; did you mean eng? Allowed: eng, ops"
    assert ("capacity", 1, "hire") in found
    assert ("deals", 0, "stage") in found
    assert ("deals", 0, "of", "products", 0) in found
    assert ("new_deals", 0, "lines", 0, "product") in found
    assert len(found) == 5


def test_a_deal_that_the_book_holds_otherwise_is_not_taken_for_it():
    deals = {"crm/1": decode(deal(1, Line("basic", quantity=10.0)))}
    live = projected(deals)
    overlay = WhatIf.model_validate({"deals": [{"of": {"ids": ["crm/1"]}, "outcome": "won"}]})
    for other in (Line("basic", quantity=11.0), Line("enterprise", quantity=10.0)):
        record = contribution.decode(deal(1, other))
        with pytest.raises(NotInBook):
            lay(live, IN_FORCE, NOW, overlay, {"crm/1": record})
    assert lay(live, IN_FORCE, NOW, overlay, records(deals, overlay)).lines == [1]


def test_the_answer_names_what_changes_most_and_says_how_much_changes():
    deals = {f"crm/{n}": decode(deal(n, Line("enterprise", quantity=3.0))) for n in range(3)}
    live = projected(deals)
    laid = laid_over(deals, WhatIf.model_validate({"deals": [{"of": {"class": "open"}, "outcome": "won"}]}), live)
    whole, short = (compared(live, {"milestones": []}, laid, limit) for limit in (1000, 2))
    assert short["positions_changed"] == len(whole["positions"]) > 2
    assert len(short["positions"]) == 2
    row = next(row for row in whole["positions"] if (row["pool"], row["week"]) == ("eng", "2026-W14"))
    assert row["difference"]["booked"] == row["after"]["booked"] - row["before"]["booked"] == pytest.approx(27.0)
    assert row["difference"]["overload"] == pytest.approx(row["after"]["overload"] - row["before"]["overload"])
    (pool, _) = whole["pools"]
    assert pool["after"]["demand"] > pool["before"]["demand"]
    assert "milestones" not in whole, "they are the same"

"""Merging changes into a deal: what each does, and that order and repetition make no difference."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.change import DealChange, Unusable
from services.ingest.domain.merge import CLEARED, amend, begun, merge
from shared.schemas.deal import Deal, Line, Stamp
from tests.unit.ingest.changes import change, changes


def merged(*said: DealChange) -> Deal:
    deal: Deal | None = None
    for one in said:
        deal = merge(deal, one).deal or deal
    assert deal is not None
    return deal


def test_the_first_change_makes_the_deal() -> None:
    deal, outcome = merge(None, change(5, 2, stage="open", amount=10.0))
    assert outcome == "created"
    assert deal == Deal(
        id="crm/42",
        source="crm",
        object="42",
        version=1,
        time=5,
        stage="open",
        amount=10.0,
        fields={"stage": Stamp(5, 2), "amount": Stamp(5, 2)},
    )


def test_only_the_fields_said_change() -> None:
    deal = merged(change(1, stage="open", amount=10.0), change(2, stage="won"))
    assert (deal.stage, deal.amount, deal.version, deal.time) == ("won", 10.0, 2, 2)
    assert deal.fields == {"stage": Stamp(2), "amount": Stamp(1)}


@pytest.mark.parametrize(
    ("name", "value", "cleared"),
    [("stage", "open", None), ("segment", "smb", ""), ("type", "renewal", "new"), ("custom", True, False),
     ("scale", {"seats": 1.0}, {}), ("lines", [Line(product="a")], []), ("rate", 1.1, None)],
)  # fmt: skip
def test_null_clears_a_field(name: str, value: Any, cleared: Any) -> None:
    assert getattr(merged(change(1, **{name: value})), name) == value
    assert getattr(merged(change(1, **{name: value}), change(2, **{name: None})), name) == cleared


@pytest.mark.parametrize(
    ("earlier", "later"),
    [((1, 0, 0), (2, 0, 0)), ((2, 0, 0), (2, 1, 0)), ((2, 1, 0), (2, 1, 1)), ((1, 9, 9), (2, 0, 0))],
)
def test_the_newer_stamp_wins_in_either_order(earlier: tuple[int, ...], later: tuple[int, ...]) -> None:
    one, two = change(*earlier, stage="old"), change(*later, stage="new")
    assert merged(one, two).stage == merged(two, one).stage == "new"


def test_of_equal_stamps_the_value_decides() -> None:
    one, two = change(1, stage="a"), change(1, stage="b")
    assert merged(one, two).stage == merged(two, one).stage == "b"


def test_an_older_change_of_another_field_is_taken() -> None:
    deal = merged(change(5, stage="won"), change(1, amount=10.0))
    assert (deal.stage, deal.amount, deal.time) == ("won", 10.0, 5)


def test_a_change_known_already_makes_no_record() -> None:
    deal = merged(change(1, stage="open"))
    assert merge(deal, change(1, stage="open")) == (None, "nothing-new")
    assert merge(deal, change(0, stage="won")) == (None, "nothing-new")


def test_what_is_said_again_later_holds_against_what_was_said_between() -> None:
    first, again, between = change(1, stage="open"), change(3, stage="open"), change(2, stage="lost")
    known = merged(first)
    assert merge(known, again).outcome == "confirmed"
    assert merged(first, again, between).stage == "open"


def test_a_deletion_stays_until_a_newer_creation() -> None:
    deleted = merged(change(1, stage="open"), change(5, deleted=True))
    assert deleted.deleted
    late = merged(change(1, stage="open"), change(5, deleted=True), change(4, stage="won"))
    assert (late.deleted, late.stage) == (True, "won")
    assert merged(change(5, deleted=True), change(4, deleted=False)).deleted
    assert not merged(change(5, deleted=True), change(6, deleted=False)).deleted


def test_a_deletion_wins_over_a_creation_of_the_same_moment() -> None:
    assert merged(change(5, deleted=True), change(5, deleted=False)).deleted
    assert merged(change(5, deleted=False), change(5, deleted=True)).deleted


def test_a_deletion_may_be_the_first_that_is_heard() -> None:
    assert merged(change(5, deleted=True)).deleted


def test_a_line_is_put_together_from_its_parts() -> None:
    deal = merged(change(2, quantity=3.0), change(1, product="tier"), change(3, arr=12.0))
    assert deal.lines == [Line(product="tier", quantity=3.0, arr=12.0)]


def test_lines_given_whole_are_not_changed_by_parts() -> None:
    whole = [Line(product="a"), Line(product="b")]
    assert merged(change(1, lines=whole), change(2, product="c")).lines == whole
    assert merged(change(2, product="c"), change(1, lines=whole)).lines == whole


def test_what_a_connection_assumes_gives_way_to_anything_said() -> None:
    assumed = DealChange("crm", "42", Stamp(5), {"stage": "open"}, {"product": "tier", "segment": "smb"})
    assert merged(assumed).lines == [Line(product="tier")]
    assert merged(change(1, segment="mid"), assumed).segment == "mid"
    assert merged(assumed, change(1, product="other")).lines == [Line(product="other")]
    assert merge(merged(assumed), assumed).outcome == "nothing-new"


def test_two_sources_cannot_share_a_deal() -> None:
    deal = merged(DealChange("a/b", "c", Stamp(1), {"stage": "open"}))
    with pytest.raises(Unusable) as refused:
        merge(deal, DealChange("a", "b/c", Stamp(2), {"stage": "won"}))
    assert refused.value.reason == "same-id"


@given(st.lists(changes, min_size=1, max_size=8), st.randoms())
def test_any_order_and_repetition_makes_the_same_deal(said: list[DealChange], random: Any) -> None:
    shuffled = said + random.choices(said, k=random.randint(0, 5))
    random.shuffle(shuffled)
    one, other = merged(*said), merged(*shuffled)
    assert msgspec.structs.replace(one, version=0) == msgspec.structs.replace(other, version=0)


@given(st.lists(changes, min_size=1, max_size=8))
def test_a_replay_makes_no_record(said: list[DealChange]) -> None:
    deal = merged(*said)
    assert [merge(deal, one) for one in said] == [(None, "nothing-new")] * len(said)


@given(st.lists(changes, min_size=1, max_size=8))
def test_a_deal_is_what_the_newest_of_each_field_says(said: list[DealChange]) -> None:
    """Against the plain reading: sort everything ever said of a field, take the last."""
    deal = merged(*said)
    for name in CLEARED.keys() - {"lines"}:
        of_field = [
            (stamp, msgspec.json.encode(said_value, order="deterministic"), said_value)
            for one in said
            for values, stamp in ((one.defaults, Stamp(0)), (one.values, one.stamp))
            if name in values
            for said_value in [CLEARED[name] if values[name] is None else values[name]]
        ]
        last = max(of_field, key=lambda entry: entry[:2], default=(None, b"", CLEARED[name]))
        assert getattr(deal, name) == last[2]
        assert deal.fields.get(name) == last[0]


@given(st.lists(changes, min_size=1, max_size=8))
def test_versions_count_the_records(said: list[DealChange]) -> None:
    deal: Deal | None = None
    records = 0
    for one in said:
        new, outcome = merge(deal, one)
        assert (new is None) == (outcome == "nothing-new")
        if new is not None:
            records += 1
            assert new.version == records
            assert new.time == max((stamp.time for stamp in new.fields.values()), default=0)
            deal = new


@given(st.lists(changes, min_size=2, max_size=8))
def test_merging_leaves_the_deal_as_it_is_and_amending_makes_the_same_of_it(said: list[DealChange]) -> None:
    kept, amended = merged(said[0]), begun(said[0])
    for one in said[1:]:
        before = msgspec.json.encode(kept)
        new, outcome = merge(kept, one)
        assert msgspec.json.encode(kept) == before
        assert amend(amended, one) == outcome
        kept = new or kept
        assert msgspec.json.encode(kept) == msgspec.json.encode(amended)

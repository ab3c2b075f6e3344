"""What the changes of an overlay mean, said once more for whole deals of one line; such deals and changes at random."""

import copy
from datetime import date, timedelta

import msgspec
from hypothesis import strategies as st

from shared.schemas.deal import Deal, Line

TODAY = date(2026, 3, 30)


def stage_class(one: Deal) -> str:
    return {"won": "won", "lost": "lost"}.get(one.stage or "", "open")


def is_meant(one: Deal, of: dict) -> bool:
    (line,) = one.lines
    if "ids" in of and one.id not in of["ids"]:
        return False
    if "segments" in of and one.segment not in of["segments"]:
        return False
    if "products" in of and line.product not in of["products"]:
        return False
    if "stages" in of:
        return one.stage in of["stages"]
    return "ids" in of or stage_class(one) == of.get("class", "open")


def changed(one: Deal, change: dict) -> Deal:
    one = copy.deepcopy(one)
    (line,) = one.lines
    if "outcome" in change:
        one.stage, one.probability, line = change["outcome"], None, msgspec.structs.replace(line, probability=None)
    if "stage" in change:
        one.stage = change["stage"]
    if "probability" in change and stage_class(one) == "open":
        line = msgspec.structs.replace(line, probability=change["probability"])
    if "close" in change:
        one.close = date.fromisoformat(change["close"])
    if "close_later_weeks" in change and one.close is not None:
        one.close += timedelta(weeks=change["close_later_weeks"])
    if "outcome" in change and "close" not in change:
        one.close = max(one.close or TODAY, TODAY)
    if "custom" in change:
        one.custom = change["custom"]
    one.lines = [line]
    return one


SOLD = st.builds(
    lambda number, product, quantity, p, stage, close, segment, custom: Deal(
        id=f"crm/{number}", source="crm", object=str(number), version=1, stage=stage, close=close, segment=segment,
        custom=custom, lines=[Line(product, quantity=quantity, probability=p)],
    ),
    number=st.integers(0, 9),
    product=st.sampled_from(["basic", "enterprise"]),
    quantity=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    p=st.sampled_from([None, 0.2, 0.7]),
    stage=st.sampled_from(["qualified", "pushed", "won", "lost"]),
    close=st.none() | st.integers(-3, 6).map(lambda n: TODAY + timedelta(weeks=n, days=1)),
    segment=st.sampled_from(["", "smb"]),
    custom=st.booleans(),
)  # fmt: skip
BOOKS = st.lists(SOLD, min_size=1, max_size=8, unique_by=lambda one: one.id)

WHICH = st.one_of(
    st.fixed_dictionaries({"segments": st.just(["smb"])}),
    st.fixed_dictionaries({"products": st.just(["basic"])}, optional={"class": st.sampled_from(["open", "won"])}),
    st.fixed_dictionaries({"stages": st.sampled_from([["qualified"], ["won", "pushed"]])}),
    st.fixed_dictionaries({"ids": st.lists(st.integers(0, 9).map("crm/{}".format), min_size=1, max_size=3)}),
)
WHAT = st.one_of(
    st.fixed_dictionaries({"outcome": st.sampled_from(["won", "lost"])}),
    st.fixed_dictionaries({"stage": st.sampled_from(["qualified", "pushed"])}),
    st.fixed_dictionaries({"close": st.sampled_from(["2026-04-08", "2026-05-06"])}),
    st.fixed_dictionaries({"close_later_weeks": st.integers(-2, 4)}),
    st.fixed_dictionaries({"probability": st.sampled_from([0.0, 0.5, 1.0])}),
    st.fixed_dictionaries({"custom": st.booleans()}),
    st.fixed_dictionaries({"outcome": st.just("won"), "close_later_weeks": st.integers(0, 2)}),
)
CHANGES = st.lists(st.tuples(WHICH, WHAT), min_size=1, max_size=3)

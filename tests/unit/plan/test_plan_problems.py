"""Each thing that can be wrong in a plan is named at the very character."""
# ruff: noqa: E501 — one case a line.

import pytest

from shared.errors import PlanError
from shared.schemas.plan_file import parse_plan
from tests.unit.plan.plans import SMALL, changed, problems_in

WRONG = [
    # what is written instead of what; what is said about it
    ("horizon_weeks: 26", "«horizon_week: 26", "unknown key 'horizon_week'; did you mean horizon_weeks? Allowed: plan, "),
    ("{name: Ana}", "{«nmae: Ana, name: Ana}", "unknown key 'nmae'; did you mean name? Allowed: name, email"),
    ("{per_week: 320,", "{«pre_week: 3, per_week: 320,", "unknown key 'pre_week'; did you mean per_week? Allowed: per_week, "),
    ("agents: 14", "agents: 14, «agent: 2", "unknown key 'agent'; did you mean agents? Allowed: handling_minutes, "),
    ("    owner: ana\n", "    owner: «anna\n", "there is no person 'anna'; did you mean ana? Allowed: ana, ben"),
    ("    owner: ana\n", "    owner: ana\n    «owner: ben\n", "'owner' is here twice; first in line 15"),
    ("  engineering:\n    kind: work\n    unit: hours\n    owner: ana\n", "  «engineering:\n    kind: work\n    unit: hours\n", "a pool without an owner has nobody to ask"),
    ("    kind: queue\n", "    kind: «quue\n", "unknown kind 'quue'; did you mean queue? Allowed: work, queue, stock, budget"),
    ("  support:\n    kind: queue\n", "  «support:\n", "a pool's kind is missing; allowed: work, queue, stock, budget"),
    ("escalation: [ben]", "escalation: [ben, «cfo]", "there is no person 'cfo'; allowed: ana, ben"),
    ("helps: {support: 0.6}", "helps: {«suport: 0.6}", "there is no pool 'suport'; did you mean support?"),
    ("helps: {support: 0.6}", "helps: {«engineering: 0.6}", "a pool does not help itself"),
    ("{pool: engineering, effort: 10,", "{pool: «enginering, effort: 10,", "there is no pool 'enginering'; did you mean engineering?"),
    ("{pool: engineering, effort: 3840", "{pool: «roadmap, effort: 3840", "there is no pool 'roadmap'"),
    ("{product: enterprise,", "{product: «enterprize,", "there is no product 'enterprize'; did you mean enterprise?"),
    ("probability: 0.5,", "probability: «1.5,", "this must be less than or equal to 1"),
    ("probability: 0.5,", "probability: «high,", "a number is needed here, not the text 'high'"),
    ("probability: 0.5,", "probability: «.nan,", ".nan is not a number one can plan with"),
    ("probability: 0.5,", "probability: «1e999,", "1e999 is too large a number"),
    ("[0.5, 0.3, 0.2]", "«[0.5, 0.3, 0.3]", "these are shares of one whole, but they sum to 1.1"),
    ("[0.25, 0.75]", "«[0.25, 0.7]", "these are shares of one whole, but they sum to 0.95, not to 1"),
    ("won: {class: won}", "«won: {class: won, probability: 0.9}", "a won stage has no probability, push_weeks or stale_after"),
    ("stale_after: 120d", "stale_after: «120", "a duration is text with a unit, such as 4h, 2d or 1d12h"),
    ("stale_after: 120d", "stale_after: «120 days", "a duration is a whole number with a unit"),
    ("holidays: DE", "holidays: «XX", "no public holidays are known for 'XX'"),
    ("holidays: DE", "holidays: «DE-XX", "no part 'XX' of DE is known"),
    ("shape: flat", "shape: «falt", "'falt' is not known here; did you mean flat? Allowed: flat, front"),
    ("curve: {shape: flat, weeks: 4}", "«curve: {shape: flat}", "a curve of shape flat needs weeks"),
    ("custom_effort: 60,", "custom_effort: 60, custom_factor: 2,", "a need says custom_effort or custom_factor, not both"),
    ("due: 2026-W25", "due: «2026-W54", "there is no ISO week 2026-W54"),
    ("due: 2026-W25", "due: «June", "a week is an ISO week, written as 2026-W14"),
    ("  core-release: {pool: engineering, effort: 3840, start: 2026-W14, due: 2026-W25}", "  «core-release: {pool: engineering, effort: 1, start: 2026-W14, due: 2026-W13}", "due 2026-W13 is before start 2026-W14"),
    ("from: 2026-04-01", "from: «2026-04-31", "day is out of range for month"),
    ("timezone: Europe/Berlin", "timezone: «America", "a time zone is a name of the IANA database"),
    ("currency: EUR", "currency: «euro", "a currency is three capital letters, such as EUR, not 'euro'"),
    ("name: Ana}", "name: «7}", "text is needed here, not the number 7; put it in quotes"),
    ("quantity: 40", "quantity: «yes", "a number is needed here, not the text 'yes'"),
    ("horizon_weeks: 26", "horizon_weeks: «26.5", "a whole number is needed here, not the number 26.5"),
    ("email: ben@example.com", "email: «ben", "this is not an e-mail address"),
    ("plan: fy26", "incentives: {}\nperiods: {«Q2: {bookings: 1}}\nplan: fy26", "a period is a quarter from 1970 to 2199, written as 2026-Q2"),
    ("plan: fy26", "periods: {«9999-Q4: {bookings: 1}}\nplan: fy26", "a period is a quarter from 1970 to 2199, written as 2026-Q2"),
    ("plan: fy26", "plan: fy26\nincentives: «{hold: true}", "incentives are not enforced by this version"),
    ("plan: fy26\n", "plan: fy26\nmore: «!!python/object:os.system x\n", "tags are not read"),
    # triggers
    ("watch: work", "watch: «wrok", "'wrok' is not known here; did you mean work?"),
    ("for: 1d", "of: «3 of 5", "this is written as '3 in 5'"),
    ("for: 1d", "of: «5 in 3", "this can never be: 5 of 3 days"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "watch: «forecast\n    when: margin < 0.5", "the plan has no period that this would watch"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "watch: forecast\n    where: {period: «2026-Q2}\n    when: margin < 0.5", "there is no period '2026-Q2'"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "watch: forecast\n    where: {«pool: support}\n    when: margin < 0.5", "pool does not narrow a forecast; period and segment do"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "watch: forecast\n    when: «margins < 0.5", "a forecast has no field 'margins'; did you mean margin?"),
    ("{work: core-release}", "{work: «core}", "there is no work item 'core'"),
    ("{work: core-release}", "{work: core-release, «within_weeks: 8}", "within_weeks does not narrow a work; work and pool do"),
    ("{work: core-release}", "{«kind: tickets}", "kind does not narrow a work"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "«watch: signal\n    when: change > 1", "a trigger on a signal says which in where: kind"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5", "watch: position\n    where: {function: «suport}\n    when: overload > 0.5", "there is no pool of function 'suport'"),
    ("{work: core-release}", "«{pool: support}", "the plan has no work item that this would watch"),
    ("when: slip_weeks >= 1", "when: «slip_week >= 1", "a work has no field 'slip_week'; did you mean slip_weeks? Fields: slip_weeks, "),
    ("when: slip_weeks >= 1", "when: slip_weeks >= 1 and «overload > 0.3", "a work has no field 'overload'"),
    ("when: slip_weeks >= 1", "when: slip_weeks >= 1 or pool «> 3", "'>' does not take a text and a number"),
    ("when: slip_weeks >= 1", "when: slip_weeks >= 1 «xor slip_weeks < 3", "this is not understood"),
    ("when: slip_weeks >= 1", "when: slip_weeks >= 1 and« ", "it ends too early"),
    ("when: slip_weeks >= 1", "when: «slip_weeks < 0", "this condition can never hold"),
    ("when: slip_weeks >= 1", "when: «slip_weeks >= 0", "this condition always holds"),
    ("when: slip_weeks >= 1", "when: «slip_weeks", "this is not something that holds or not"),
    ("clear: slip_weeks < 0.5", "clear: «slip_weeks < 0.5 and slip_weeks > 0.5", "this condition can never hold"),
    ("clear: slip_weeks < 0.5", "clear: «slip_weeks <= 1", "this can hold while `when` still holds"),
    ("clear: slip_weeks < 0.5", "clear: «slip_weeks < 0.5 or effort > 10 and slip_weeks > 2", "this can hold while `when` still holds"),
    ("owners: [pool.owner]", "«owners: [deals.pools.owners]", "nobody may be left to ask, for its deals may be none"),
    ("watch: work\n    where: {work: core-release}\n    when: slip_weeks >= 1\n    clear: slip_weeks < 0.5\n    for: 1d\n    ask: {owners: [pool.owner]", "watch: deal\n    when: untethered > 3\n    for: 1d\n    ask: {owners: [ana, «pool.owner]", "a deal is of no one pool: name a person instead of pool.owner"),
    ("    ask: {owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}", "    «ask: {acknowledge_within: 4h, decide_within: 2d}", "a trigger without an owner asks nobody"),
    ("    ask: {owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}", "    «ask: {owners: pool.owner}", "a trigger without a deadline forces nothing"),
    ("owners: [pool.owner]", "owners: «[]", "this must have at least 1 item, not 0"),
    ("owners: [pool.owner]", "owners: [«pool.ower]", "there is no person 'pool.ower'; did you mean pool.owner?"),
    ("acknowledge_within: 4h", "acknowledge_within: «3d", "this is later than decide_within, 2d"),
    # not YAML, or more than we read of it
    ("    unit: hours\n", "«\tunit: hours\n", "a tab cannot indent or separate here; use spaces"),
    ("currency: EUR", "currency: EUR\n«<<: {}", "merge keys (<<) are not read"),
    ("currency: EUR", "currency: «*money", "*money refers to nothing that is complete before it"),
    ("currency: EUR", 'currency: «"E\\u0007"', "text with characters that cannot be printed"),
    ("plan: fy26\n", "plan: fy26\n«---\n", "a second document begins here"),
    ("{name: Ana}", "{name: Ana«: x}", "this is not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_a_problem_is_named_at_its_character(old: str, new: str, said: str) -> None:
    text, place = changed(old, new)
    found = problems_in(text)
    if "«" in new:
        assert any(problem.startswith(f"{place}: {said}") for problem in found), found
    else:
        assert any(said in problem for problem in found), found


def test_the_small_plan_has_no_problem() -> None:
    assert problems_in(SMALL) == []


def test_all_problems_are_found_at_once_and_in_the_order_of_the_file() -> None:
    text = SMALL.replace("currency: EUR", "currency: euro").replace("owner: ana", "owner: anna")
    text = text.replace("share: 0.9", "share: 90").replace("decide_within: 2d", "decide_in: 2d")
    found = problems_in(text)
    assert [problem.split(": ")[0] for problem in found] == [
        "small.yaml:2:11",
        "small.yaml:15:12",
        "small.yaml:23:108",
        "small.yaml:41:5",
        "small.yaml:41:57",
    ]


def test_a_problem_shows_its_line_and_points_at_the_character() -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(SMALL.replace("  won: {class: won}", "  won: {clas: won, class: won}"), "q2/plan.yaml")
    assert str(caught.value) == (
        "q2/plan.yaml:10:9: unknown key 'clas'; did you mean class? Allowed: class, probability, push_weeks, stale_after\n"
        "      won: {clas: won, class: won}\n"
        "            ^"
    )


def test_a_problem_says_which_part_it_is_about() -> None:
    text, _ = changed("{pool: support, effort: 6,", "{pool: nothing, effort: 6,")
    with pytest.raises(PlanError) as caught:
        parse_plan(text, "small.yaml")
    assert [problem.path for problem in caught.value.problems] == ["products.enterprise.needs.1.pool"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "7", "[]", "null", "- plan: fy26"])
def test_what_is_no_mapping_is_no_plan(text: str) -> None:
    assert problems_in(text) == ["small.yaml:1:1: a plan is a mapping that begins with its name, such as plan: fy26"]


def test_a_file_out_of_proportion_is_not_read() -> None:
    assert problems_in("a" * (1024 * 1024 + 1))[0].startswith("small.yaml:1:1: the file has 1,048,577 characters")


def test_anchors_that_unfold_into_billions_are_stopped() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = problems_in("\n".join(rows))
    assert "unfold into more than 200,000 parts" in problem


def test_an_anchor_repeats_what_it_names() -> None:
    text = SMALL.replace("curve: {shape: flat, weeks: 4}", "curve: &c {shape: flat, weeks: 4}")
    text = text.replace("effort: 6, per: week, after_weeks: 4, weeks: 26", "effort: 6, curve: *c")
    needs = parse_plan(text, "small.yaml").products["enterprise"].needs
    assert needs[0].curve == needs[1].curve


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_stopped_where_it_begins(opening: str) -> None:
    (problem,) = problems_in(opening * 1000)
    assert "nested deeper than 40 levels" in problem

"""``headroom what-if`` without a system: what is wrong in a file, what is shown, and what an answer ends with."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from headroom.cli import app, exit_code
from headroom.what_if import _refusal
from headroom.what_if_screen import show
from shared.errors import NotReady, PlanError
from shared.schemas.what_if import WhatIf
from shared.schemas.what_if_file import OverlayFile, what_if_json_schema

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "what-if.md"


def problems(text: str) -> list[str]:
    with pytest.raises(PlanError) as wrong:
        OverlayFile(text, "o.yaml")
    return [f"{one.place.line}:{one.place.column} {one.message}" for one in wrong.value.problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1 an overlay is a mapping"),
        ("what_if: nothing\n", "nothing is changed"),
        ("deals:\n  - of: {segments: [a]}\n", "say what happens"),
        ("deals:\n  - of: {}\n    outcome: won\n", "say which deals are meant"),
        ("deals:\n  - of: {ids: [a]}\n    outcome: own\n", "3:14 'own' is not known here; did you mean won?"),
        ("deals:\n  - of: {ids: [a]}\n    discuont: 0.2\n", "3:5 unknown key 'discuont'; did you mean discount?"),
        ("deals:\n  - of: {ids: [a]}\n    discount: 20\n", "3:15 this must be less than 1"),
        ("deals:\n  - {of: {ids: [a]}, close: 2026-04-01, close_later_weeks: 2}\n", "not both"),
        ("deals:\n  - {of: {ids: [a]}, outcome: won, stage: won}\n", "in no other stage"),
        ("capacity:\n  - {pool: eng, hire: 1, weeks: 2026-W14}\n", "a hire says start"),
        ("capacity:\n  - {pool: eng, more: 1}\n", "more says in which weeks"),
        ("capacity:\n  - {pool: eng, more: 1, absence: 2, weeks: 2026-W14}\n", "not absence and more"),
        ("capacity:\n  - {pool: eng, more: 1, weeks: 2026-W20..2026-W14}\n", "from 2026-W20 to 2026-W14 are 0 weeks"),
        ("capacity:\n  - {pool: eng, more: 1, weeks: soon}\n", "weeks are written as 2026-W14"),
        ("plan_changes: {a: 1}\nplan_text: b\n", "not both"),
        ("plan_changes: {a: 1}\nplan_changes: {b: 1}\n", "2:1 'plan_changes' is here twice"),
        ("a: [\n", "this is not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_with_its_place(text, said):
    assert any(said in one for one in problems(text)), problems(text)


def test_a_file_that_is_wrong_ends_with_1_and_none_with_2(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text("deals: [{of: {ids: [a]}, outcome: own}]\n")
    result = CliRunner().invoke(app, ["what-if", str(file)])
    assert isinstance(result.exception, PlanError)
    assert exit_code(result.exception) == 1
    assert CliRunner().invoke(app, ["what-if"]).exit_code == 2
    file.write_text("deals: [{of: {ids: [a]}, outcome: won}]\n")
    result = CliRunner().invoke(app, ["what-if", str(file), "--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, NotReady)
    assert exit_code(result.exception) == 5


def test_what_the_book_does_not_know_is_shown_in_the_file():
    read = OverlayFile("deals:\n  - of: {ids: [a, b]}\n    outcome: won\n", "o.yaml")
    answer = {"problems": [{"path": ["deals", 0, "of", "ids", 1], "reason": "no deal 'b' is known"}]}
    error = _refusal(422, "http://x", answer, read)
    assert str(error).startswith("o.yaml:2:19: no deal 'b' is known")
    assert exit_code(_refusal(403, "http://x", {}, read)) == 4
    assert exit_code(_refusal(503, "http://x", {}, read)) == 5
    assert exit_code(_refusal(422, "http://x", {"problems": [{"line": 1}]}, None)) == 1


def test_the_schema_is_printed_and_the_guide_names_all_of_it():
    printed = json.loads(CliRunner().invoke(app, ["what-if", "--schema"]).output)
    assert printed == what_if_json_schema()
    guide = GUIDE.read_text()
    for part in (printed, *printed["$defs"].values()):
        for name in part.get("properties", {}):
            assert f"`{name}`" in guide or f"\n{name}:" in guide or f" {name}:" in guide, f"{name} is not in the guide"


def test_the_guide_s_example_is_an_overlay():
    text = GUIDE.read_text()
    begin = text.index("```yaml\n") + len("```yaml\n")
    overlay = OverlayFile(text[begin : text.index("```", begin)], "guide").overlay
    assert overlay.deals
    assert overlay.capacity
    assert overlay.new_deals
    assert overlay.plan_changes


def test_a_file_and_a_request_say_the_same():
    text = "deals: [{of: {closing: 2026-W14..2026-W16, class: open}, close: 2026-05-01}]\n"
    overlay = OverlayFile(text, "o.yaml").overlay
    assert overlay.deals[0].of.closing == ["2026-W14", "2026-W15", "2026-W16"]
    assert WhatIf.model_validate(overlay.model_dump(mode="json", exclude_unset=True)) == overlay


@pytest.mark.parametrize("text", ["\x00", "\ud800", "a\x00b"])
def test_text_that_nothing_can_hold_is_refused(text):
    for said in ({"what_if": text}, {"plan_changes": {text: 1}}, {"plan_changes": {"a": [text]}}):
        with pytest.raises(ValueError, match="no text has"):
            WhatIf.model_validate({"deals": [{"of": {"ids": ["a"]}, "outcome": "won"}], **said})
    deep: object = 1
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested deeper"):
        WhatIf.model_validate({"plan_changes": {"a": deep}})


def test_worse_is_red_and_better_green():
    position = {"capacity": 100.0, "booked": 20.0, "expected": 50.0, "utilisation": 0.7, "overload": 0.1, "late": 0.0}
    answer = {
        "what_if": "more", "plan": "p@1", "plan_changed": False, "as_of": "2026-03-30T08:00:00Z", "deal_lines": [3, 0],
        "pools": [], "positions_changed": 7, "currency": "EUR",
        "forecasts": [{"period": "2026-Q2", "segment": "*", "before": {"bookings": 1.6e6}, "after": {"bookings": 2e6}}],
        "positions": [{"pool": "eng", "week": "2026-W14", "unit": "hours", "before": position,
                       "after": position | {"capacity": 120.0, "overload": 0.4}}],
        "work": [{"work": "release", "before": {"due": "2026-W16", "finish": None, "slip_weeks": 3.0, "slip_mean": 3.2,
                                                "late": 1.0}, "after": None}],
    }  # fmt: skip
    console = Console(width=200, force_terminal=True, color_system="standard", record=True)
    with console.capture() as shown:
        show(answer, console)
    text = shown.get()
    assert "100 → \x1b[32m120\x1b[0m" in text
    assert "10% → \x1b[31m40%\x1b[0m" in text
    assert "change 2 of deals: 0 deal lines — nothing is meant by it" in text
    assert "6 further weeks change less" in text
    assert "beyond → –" not in text
    assert "eng 2026-W14 (hours)" in text
    assert "Forecasts, money in EUR" in text
    assert "1,600,000 → \x1b[32m2,000,000\x1b[0m" in text

"""The operator's page says what the code says."""

import re

import pytest

from headroom.local.system import PROGRAMS
from tests.contract import settings_table
from tests.contract.declared import ROOT

PAGE = settings_table.PAGE.read_text()


def test_the_table_of_settings_is_fresh() -> None:
    assert settings_table.with_table(PAGE) == PAGE, "run: python -m tests.contract.settings_table"


@pytest.mark.parametrize("model", settings_table.CLASSES.values(), ids=settings_table.CLASSES)
def test_every_setting_says_what_it_is(model: type[settings_table.Settings]) -> None:
    unexplained = [name for name, field in settings_table.fields(model, "HEADROOM_") if not field.description]
    assert unexplained == []


def test_every_setting_that_a_page_names_exists() -> None:
    known = {name for model in settings_table.CLASSES.values() for name, _ in settings_table.fields(model, "HEADROOM_")}
    pages = [ROOT / "docs" / "guide" / "operations.md", *(ROOT / "docs" / "runbooks").glob("*.md")]
    for path in pages:
        named = set(re.findall(r"HEADROOM_[A-Z]+(?:_[A-Z]+)*(?:__[A-Z_]+[A-Z])?", path.read_text()))
        assert named <= known, path.name


def test_every_process_and_every_runbook_is_on_the_page() -> None:
    for name, (module, *role) in PROGRAMS.items():
        assert f"| {name} | `python -m {' '.join([module, *role])}` |" in PAGE
    runbooks = {path.name for path in (ROOT / "docs" / "runbooks").glob("Headroom*.md")}
    assert runbooks <= set(re.findall(r"\(\.\./runbooks/([A-Za-z]+\.md)\)", PAGE))

"""The operator's page says what the code says."""

import re

import pytest

from headroom.local.containers import KAFKA_IMAGE, POSTGRES_IMAGE
from headroom.local.system import PROGRAMS
from tests.contract import settings_table
from tests.contract.commands import read_by_commands
from tests.contract.declared import ROOT
from tests.contract.manifests import interpolated

PAGE = settings_table.PAGE.read_text()
BY_HAND = ROOT / "docs" / "guide" / "by-hand.md"


def test_the_table_of_settings_is_fresh() -> None:
    assert settings_table.with_table(PAGE) == PAGE, "run: python -m tests.contract.settings_table"


@pytest.mark.parametrize("model", settings_table.CLASSES.values(), ids=settings_table.CLASSES)
def test_every_setting_says_what_it_is(model: type[settings_table.Settings]) -> None:
    unexplained = [name for name, field in settings_table.fields(model, "HEADROOM_") if not field.description]
    assert unexplained == []


def test_every_setting_that_a_page_names_exists() -> None:
    settings = {
        name for model in settings_table.CLASSES.values() for name, _ in settings_table.fields(model, "HEADROOM_")
    }
    known = settings | interpolated() | read_by_commands()
    for path in [settings_table.PAGE, BY_HAND, *(ROOT / "docs" / "runbooks").glob("*.md")]:
        named = set(re.findall(r"HEADROOM_[A-Z]+(?:_[A-Z]+)*(?:__[A-Z_]+[A-Z])?", path.read_text()))
        assert named <= known, path.name


def test_every_process_and_every_runbook_is_on_the_page() -> None:
    for name, (module, *role) in PROGRAMS.items():
        assert f"| {name} | `python -m {' '.join([module, *role])}` |" in PAGE
    runbooks = {path.name for path in (ROOT / "docs" / "runbooks").glob("Headroom*.md")}
    assert runbooks <= set(re.findall(r"\(\.\./runbooks/([A-Za-z]+\.md)\)", PAGE))


def test_what_compose_cannot_start_without_is_told_before_it_is_started() -> None:
    wanted = re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text())
    assert wanted
    for name in wanted:
        assert f"{name}=" in PAGE[: PAGE.index("docker compose up")]


def test_the_secret_is_made_of_what_the_manifests_take_from_it() -> None:
    told = re.search(r"kubectl create secret generic headroom((?:.*\\\n)+.*)", PAGE)
    assert told is not None
    keys = set(re.findall(r"--from-literal=(\w+)=", told.group(1)))
    assert keys == {"HEADROOM_DATABASE_URL", "HEADROOM_BOOTSTRAP_KEY_HASH"}
    config = (ROOT / "deploy" / "k8s" / "base" / "config.yaml").read_text()
    assert all(key in config for key in keys), "the manifest says what the secret brings"


def test_every_process_and_the_right_tools_are_named_for_commands_by_hand() -> None:
    page = BY_HAND.read_text()
    for name in PROGRAMS:
        assert len(re.findall(rf"--url {name}=http://{name}\b", page)) == 2, "in compose and in a cluster"
    assert KAFKA_IMAGE in page
    assert POSTGRES_IMAGE in page

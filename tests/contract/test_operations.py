"""The operator's page says what the code says."""

import inspect
import re
from typing import get_args

import pytest

from headroom.local.containers import KAFKA_IMAGE, POSTGRES_IMAGE
from headroom.local.system import PROGRAMS, SHARDS
from services.capacity import views_app
from services.ingest.domain.change import Reason
from services.notifier import app as notifier_app
from services.notifier.store.outbox import RELAYING
from shared.db import create_engine
from tests.contract import settings_table
from tests.contract.commands import read_by_commands
from tests.contract.declared import ROOT
from tests.contract.manifests import K8S, interpolated, pods, render

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


def test_the_sums_of_connections_are_those_of_the_code() -> None:
    """What SQLAlchemy may open is twice what a pool keeps; a notifier has two pools."""
    door = 2 * inspect.signature(create_engine).parameters["pool_size"].default
    each = {"door": door, "views": 2 * views_app.CONNECTIONS, "notifier": 2 * 2 * notifier_app.CONNECTIONS}
    for overlay in ("small", "production"):
        rendered = [one for one, _ in pods(render(K8S / "overlays" / overlay))]
        running = {one["metadata"]["name"]: one["spec"]["replicas"] for one in rendered if "replicas" in one["spec"]}
        cells = [f"{running[name]} × {most}" for name, most in each.items()]
        total = sum(running[name] * most for name, most in each.items())
        assert f"`overlays/{overlay}` | {' | '.join(cells)} | {total} |" in PAGE


def test_every_reason_of_a_dead_letter_is_on_its_runbook() -> None:
    page = (ROOT / "docs" / "runbooks" / "HeadroomDeadLetters.md").read_text()
    for reason in get_args(Reason):
        assert f"`{reason}`" in page
    sources = [file.read_text() for file in (ROOT / "services").rglob("*.py")]
    written = {reason for text in sources for reason in re.findall(r'dead_letter\(\w+, \w+, "([\w-]+)"', text)}
    assert "not-a-recalibration" in written
    assert {reason for reason in written if f"`{reason}`" not in page} == set()


def test_the_lock_that_a_runbook_looks_for_is_the_one_that_is_taken() -> None:
    """PostgreSQL shows a lock on one bigint as its two halves, and ``objsubid`` 1."""
    asked = f"classid = {RELAYING >> 32} AND objid = {RELAYING & 0xFFFFFFFF} AND objsubid = 1"
    assert asked in (ROOT / "docs" / "runbooks" / "HeadroomNoRelay.md").read_text()


def test_a_system_of_one_machine_begins_with_the_shards_that_the_page_says() -> None:
    assert f"`make up`\nbegins with {SHARDS})" in PAGE


def test_every_process_and_the_right_tools_are_named_for_commands_by_hand() -> None:
    page = BY_HAND.read_text()
    for name in PROGRAMS:
        assert len(re.findall(rf"--url {name}=http://{name}\b", page)) == 2, "in compose and in a cluster"
    assert KAFKA_IMAGE in page
    assert POSTGRES_IMAGE in page

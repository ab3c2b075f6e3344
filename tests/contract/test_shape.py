"""What contributors and operators read says what the code says: a service's shape, and how long a stop takes."""

import re
from configparser import ConfigParser

from shared.streams.app import STOP_WITHIN
from tests.contract.manifests import K8S, ROOT

GRACE = 30


def test_the_shape_of_a_service_names_every_module_that_has_a_place_in_it() -> None:
    linter = ConfigParser()
    linter.read(ROOT / ".importlinter")
    places = set(re.findall(r"\((\w+)\)", linter["importlinter:contract:shape"]["layers"]))
    text = (ROOT / "CONTRIBUTING.md").read_text()
    shape = text[text.index("**A service**") : text.index("**Domain code**")]
    assert places <= set(re.findall(r"`(\w+)`", shape))


def test_whoever_kills_a_process_leaves_it_the_time_that_a_stop_takes() -> None:
    assert STOP_WITHIN == 10.0, "the guide and the compose file say ten seconds"
    assert "in ten seconds at the most" in (ROOT / "docs" / "guide" / "operations.md").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    assert "in ten seconds at the most" in compose
    given = re.findall(r"stop_grace_period: (\d+)s", compose)
    for file in set(K8S.glob("base/*.yaml")) - {K8S / "base" / "tools.yaml"}:  # which runs none of our processes
        given += re.findall(r"terminationGracePeriodSeconds: (\d+)", file.read_text())
    assert len(given) == 8
    assert {float(seconds) for seconds in given} == {GRACE}

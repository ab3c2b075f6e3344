"""The deployment files, read once."""

import re

import pytest

from tests.contract.manifests import ROOT, Document, compose

GIVEN = {"HEADROOM_DATABASE_PASSWORD": "secret", "HEADROOM_BOOTSTRAP_KEY_HASH": "0" * 64}


@pytest.fixture(scope="module")
def composed() -> Document:
    return compose(GIVEN)


@pytest.fixture(scope="module")
def image() -> dict[str, list[str]]:
    """The Dockerfile's instructions by name."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest.strip())
    return found

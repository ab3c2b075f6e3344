"""The customer's test vectors, where they are at hand."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3].parent / "shared" / "data"


def vectors(name: str, folder: str = "vectors") -> Any:
    """The vectors in a file; the test is skipped when it is not there."""
    path = FOLDER / folder / name
    if not path.exists():
        pytest.skip(f"the vectors ../shared/data/{folder}/{name} are not beside this checkout")
    return json.loads(path.read_text())

"""What these tests share."""

import pytest

from tests.unit.headroom.story_told import Told, play


@pytest.fixture(scope="session")
def told() -> Told:
    """The story of the example, replayed once for all tests that ask what became of it."""
    return play()

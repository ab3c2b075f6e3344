"""How far episodes are applied, read from rows of which some may be broken."""

import pytest

from headroom.rebuild_places import _applied, _furthest
from shared.schemas import episode

ROW = episode.encode(episode.Episode(trigger="a", scope="b", number=1, phase="clear", applied=7))


@pytest.mark.parametrize(
    ("rows", "furthest"),
    [
        ({}, -1),
        ({b'["a","b"]': ROW}, 7),
        ({b'["a","b"]': ROW, episode.EVALUATED_KEY: episode.encode(episode.Evaluated(9))}, 9),
        ({b'["a","b"]': ROW, b'["a","c"]': b"broken", episode.EVALUATED_KEY: b"broken"}, 7),
        ({b'["a","c"]': b'{"trigger": "\xff"}', b"nobody": b"broken"}, -1),
    ],
)
def test_a_broken_row_is_applied_to_nothing(rows: dict[bytes, bytes], furthest: int) -> None:
    assert _furthest(rows) == furthest
    assert _applied(rows).keys() <= {b'["a","b"]'}

"""When a shard is restored, and how far it is."""

import pytest

from shared.streams.restore import Barrier


@pytest.mark.parametrize(
    ("starts", "ends", "advances", "reached", "progress"),
    [
        ({}, {}, [], True, 1.0),
        ({"a": 0}, {"a": 0}, [], True, 1.0),
        ({"a": 7}, {"a": 7}, [], True, 1.0),
        ({"a": 0}, {"a": 10}, [], False, 0.0),
        ({"a": 0}, {"a": 10}, [("a", 4)], False, 0.4),
        ({"a": 5}, {"a": 10}, [("a", 9)], False, 0.8),
        ({"a": 0}, {"a": 10}, [("a", 10)], True, 1.0),
        ({"a": 0}, {"a": 10}, [("a", 25)], True, 1.0),
        ({"a": 0, "b": 0}, {"a": 10, "b": 30}, [("a", 10)], False, 0.25),
        ({"a": 0, "b": 0}, {"a": 10, "b": 30}, [("a", 99), ("b", 10)], False, 0.5),
        ({"a": 0, "b": 3}, {"a": 10, "b": 3}, [("a", 10)], True, 1.0),
        ({"a": 0}, {"a": 10}, [("input", 50)], False, 0.0),
    ],
)
def test_reached_and_progress(
    starts: dict[str, int], ends: dict[str, int], advances: list[tuple[str, int]], reached: bool, progress: float
) -> None:
    barrier = Barrier(starts, ends)
    for topic, position in advances:
        barrier.advance(topic, position)
    assert barrier.reached is reached
    assert barrier.progress == pytest.approx(progress)

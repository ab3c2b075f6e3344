"""The story of the example, replayed with nobody who decides anything."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from headroom.replay import Replay, Replayer
from headroom.story import read_story
from shared.schemas.frame import Frame
from shared.schemas.plan_file import parse_plan

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
LAST = date(2026, 6, 22)
"""The first day after the release's due week."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the replay came to, and its frames, one at the start of each day."""

    replay: Replay
    frames: list[Frame]


def play() -> Told:
    """From the day of the launch to the last that matters."""
    story = read_story(EXAMPLE / "story.yaml")
    plan = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
    frames: list[Frame] = []
    replayer = Replayer(plan, story.launch, LAST, also=frames.append)
    for moment in story.moments:
        if not replayer.take(msgspec.json.encode(moment.event)):
            break
    return Told(replayer.end(), frames)

"""``headroom demo``: the margin–volume trap, played through HTTP into a running system, caught weeks before it closes.

The system is the real one: broker, database and every process as ``headroom up`` starts them, kept nowhere. It lives at
the story's time, which stands still until all is ready and then passes fast, slower where it matters.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from headroom.demo.play import Play
from headroom.demo.screen import Screen, print_summary
from headroom.local.exports import export_line
from headroom.local.system import ROOT, LocalSystem
from headroom.story import Story, read_story
from shared.clock import HeldClock

EXAMPLE = ROOT / "examples" / "margin-volume-trap"
DAY = 86_400.0
FIRST_PORT = 8090
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the demo besides Ctrl-C: a supervisor's, and that of a terminal that was closed."""
WIDTH_ELSEWHERE = 120
"""Characters in a line where there is no terminal."""
PARTITIONS = 2
"""A few hundred deals need no more."""


def demo(
    speed: Annotated[float, typer.Option(min=0.1, max=4, help="How fast to play: 1 takes a minute and a half.")] = 1.0,
    fast: Annotated[bool, typer.Option("--fast", help="The same as --speed 2.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
    undecided: Annotated[bool, typer.Option("--undecided", help="Play it with nobody deciding anything.")] = False,
) -> None:
    """Play two quarters of a software company and watch a release slip, the alarm, the decision and what it changes.

    On a terminal it stays up afterwards, until Ctrl-C. Ends with 1 when the story did not come out as it should.
    """
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)
    story = read_story(EXAMPLE / "story.yaml")
    console = Console(stderr=as_json, highlight=False)
    on_terminal = console.file.isatty()  # not what rich thinks: FORCE_COLOR must not keep a pipe waiting for Ctrl-C
    live = on_terminal and not as_json
    if not on_terminal:
        console.width = WIDTH_ELSEWHERE
    try:
        with running(story, console, speed=2.0 if fast else speed, animated=on_terminal) as (system, clock):
            with Screen(console, live=live) as screen:
                play = Play(system, story, (EXAMPLE / "plan.yaml").read_text(), clock, screen, decide=not undecided)
                summary = asyncio.run(play.run())
            if as_json:
                print(summary.as_json())
            else:
                print_summary(summary, console)
            if live:
                _stay(system, console)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not summary.ok:
        failed = "; ".join(claim.claim for claim in summary.claims if not claim.holds)
        sys.stderr.write(f"The story did not come out as it should; this did not hold: {failed}.\n")
        raise typer.Exit(1)


@contextmanager
def running(story: Story, console: Console, *, speed: float, animated: bool) -> Iterator[tuple[LocalSystem, HeldClock]]:
    """The whole system, ready, living at the story's first day until the clock that comes with it is started."""
    with TemporaryDirectory(prefix="headroom-clock-") as folder:
        clock = story_clock(story, speed, Path(folder) / "started")
        status = console.status("Starting") if animated else None

        def report(step: str) -> None:
            if status is None:
                console.print(f"{step} …", soft_wrap=True)
            else:
                status.update(f"{step} …")

        system = LocalSystem(environment=environment(clock), first_port=FIRST_PORT, report=report)
        try:
            if status is not None:
                status.start()
            try:
                system.start()
            finally:
                if status is not None:
                    status.stop()
            yield system, clock
        finally:
            report("Stopping everything")
            for ending in (signal.SIGINT, *ENDINGS):  # impatience must not leave processes or folders behind
                signal.signal(ending, signal.SIG_IGN)
            system.stop()


def story_clock(story: Story, speed: float, file: Path) -> HeldClock:
    """The story's time: at the story's own pace, ``speed`` times as fast, and standing still once all is told."""
    first, *later = [(story.start_of(pace.day), pace.days_a_second * DAY * speed) for pace in story.pace]
    return HeldClock(first[0], first[1], file, (*later, (story.end, 0.0)))


def environment(clock: HeldClock) -> dict[str, str]:
    """What the demo's processes are told besides the usual: its clock, and that its receiver is on this machine."""
    pace = [[moment.isoformat(), speed] for moment, speed in clock.pace]
    return {
        "HEADROOM_CLOCK__AS_OF": clock.as_of.isoformat(),
        "HEADROOM_CLOCK__SPEED": str(clock.speed),
        "HEADROOM_CLOCK__PACE": json.dumps(pace),
        "HEADROOM_CLOCK__START_FILE": str(clock.file),
        "HEADROOM_NOTIFIER__ALLOW_NETWORKS": json.dumps(["127.0.0.0/8"]),
        "HEADROOM_KAFKA__PARTITIONS": str(PARTITIONS),
    }


def _stay(system: LocalSystem, console: Console) -> None:
    """Say where everything is and wait for Ctrl-C."""
    console.print("\nThe system stays up; its time stands still at the story's end.")
    for what, url in (("door", system.door_url), ("capacity", system.capacity_url), ("notifier", system.notifier_url)):
        console.print(f"  {what:<9} {url}", soft_wrap=True)
    console.print(f"  API key   {system.api_key}", soft_wrap=True)
    console.print("To use it from another terminal:")
    for line in export_line(
        system.api_key or "", door=system.door_url, notifier=system.notifier_url, capacity=system.capacity_url
    ):
        console.print(f"  {line}", soft_wrap=True)
    console.print(f'  curl -s -H "X-API-Key: {system.api_key}" {system.capacity_url}/v1/work', soft_wrap=True)
    console.print("Ctrl-C stops everything.")
    with suppress(KeyboardInterrupt):  # how one ends a demo that has come to its end
        while True:
            signal.pause()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends the demo as Ctrl-C does."""
    raise KeyboardInterrupt

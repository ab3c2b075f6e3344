"""Evaluates frames in order: table, rules and episodes in, changed episodes and what to tell out.

A frame moves the scopes it touches and the episodes whose time has come; the others would stand still, so they are not
looked at. On a complete frame, on a new day or under a new plan every scope is looked at. Frames of a bulk load are
folded in and not judged; the first one after it is, as a whole. So is the last part of a projection in several.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush

from msgspec.structs import replace

from services.triggers.domain.beginnings import Beginnings
from services.triggers.domain.budget import Spenders, rank, spend
from services.triggers.domain.burn import Slacks
from services.triggers.domain.episodes import (
    FORGET_AFTER,
    Step,
    after_a_lost_row,
    beginning,
    due,
    end_at_a_lost_row,
    forget,
    step,
    with_all_ended,
    withdraw,
)
from services.triggers.domain.observation import Scene, observe
from services.triggers.domain.recalibrate import farewell, recalibration
from services.triggers.domain.rules import Key, Rule, RuleBook
from services.triggers.domain.table import Table, Touched
from shared.schemas.episode import Episode
from shared.schemas.frame import Frame
from shared.schemas.recalibration import Recalibration

BookOf = Callable[[str], RuleBook | None]
"""Gives the rules of a plan version (``id@version``), or None while that plan is not known here."""


@dataclass(frozen=True, slots=True)
class Change:
    """An episode that moved on; ``told`` when its owners must learn of it.

    ``forgotten`` are ids of recalibrations that were resolved long ago and may leave the log.
    """

    episode: Episode
    told: Recalibration | None
    reason: str
    forgotten: Sequence[str] = ()


class Evaluation:
    """All that triggers know. Not safe to share: one evaluation reads one log."""

    def __init__(self, book_of: BookOf) -> None:
        self.table = Table()
        self.episodes: dict[Key, Episode] = {}
        self._book_of = book_of
        self._scene = Scene(self.table, Slacks())
        self._due: dict[Key, datetime] = {}
        self._look_at_all = True
        self._judged_under = ""
        self._beginnings = Beginnings()
        self._spenders = Spenders()
        self._ended: list[tuple[datetime, Key]] = []
        """A heap of when which key has a recalibration to forget."""

    @property
    def begin(self) -> int:
        """The offset of the complete frame from which on folding gives all that is known now but the episodes."""
        return self._beginnings.needed(self._scene.slacks.oldest)

    def restore(self, row: Episode, written: datetime) -> None:
        """Take over an episode as the log has it since ``written``."""
        episode = with_all_ended(row, written)
        self._keep(episode)
        self._look_at_all = True
        for ended in episode.ended:
            heappush(self._ended, (ended.at, (episode.trigger, episode.scope)))

    def begin_anew(
        self, key: Key, place: int, earlier: tuple[Episode, datetime] | None, now: datetime, offset: int
    ) -> Change:
        """Where the row at offset ``place`` cannot be read: what to write there, with the end of what was under way.

        ``earlier`` is a row before it and when it was written, if still there. What is told is of the frame at
        ``offset`` and, like what ends, of ``now``. The row is still to be restored.
        """
        before = with_all_ended(*earlier) if earlier is not None else None
        ended = end_at_a_lost_row(before, place, now) if before is not None else None
        told = None
        if ended is not None and not ended.episode.shadow:
            book = self._book_of(self.table.plan) if self.table.whole else None
            rule = book.rules[key[0]] if book is not None and book.has(key) else None
            told = recalibration(rule, ended, self._scene, offset) if rule else farewell(ended, self.table, offset)
            told = replace(told, at=now)
        row = after_a_lost_row(*key, place, ended.episode if ended is not None else before)
        return Change(row, told, "its row cannot be read")

    def pass_over(self, frame: Frame, offset: int) -> None:
        """Fold in the frame at ``offset``, which was evaluated before."""
        self._fold(frame, offset)
        if self.table.whole and not _not_to_be_judged(frame):
            self._judged_under = self.table.plan
            self._beginnings.judged()
        self._look_at_all = True

    def ready_for(self, frame: Frame) -> bool:
        """Whether the frame's plan is known here; until then it has to wait, and all after it."""
        return self._book_of(frame.plan) is not None

    def evaluate(self, frame: Frame, offset: int) -> list[Change]:
        """Fold the frame at ``offset`` in and say which episodes it moved, in the plan's order; needs ``ready_for``."""
        touched = self._fold(frame, offset)
        book = self._book_of(frame.plan)
        if book is None or not self.table.whole:
            return []
        if _not_to_be_judged(frame):
            self._look_at_all = True
            return []
        before, self._judged_under = self._judged_under, frame.plan
        self._beginnings.judged()
        if self._look_at_all:
            touched, self._look_at_all = Touched(everything=True), False
        changes = list(self._withdrawn(book, before, offset)) if touched.everything else []
        moves = list(self._moves(book, touched))
        changes += self._told(moves, offset)
        if touched.everything:
            self._due = dict(self._dues(book))
        return changes + list(self._forgotten(offset))

    def _forgotten(self, offset: int) -> Iterator[Change]:
        """Let go of what was resolved long ago, by the time of the frames like everything else."""
        ripe: dict[Key, None] = {}
        while self._ended and self._ended[0][0] + FORGET_AFTER <= self.table.now:
            ripe[heappop(self._ended)[1]] = None
        for key in ripe:
            left, ids = forget(self.episodes[key], self.table.now)
            episode = replace(left, applied=offset)
            self._keep(episode)
            yield Change(episode, None, f"resolved {FORGET_AFTER.days} days ago", ids)

    def _fold(self, frame: Frame, offset: int) -> Touched:
        if frame.complete:
            self._beginnings.complete(offset, frame.now.date())
        if self.table.whole and frame.now.date() != self.table.day:
            book = self._book_of(self.table.plan)
            self._scene.slacks.close(self.table, book.pools_with_burn if book else ())
        return self.table.apply(frame)

    def _moves(self, book: RuleBook, touched: Touched) -> Iterator[tuple[Rule, Step]]:
        for key in self._to_look_at(book, touched):
            rule = book.rules[key[0]]
            before = self.episodes.get(key) or beginning(*key)
            seen = observe(rule, key[1], self._scene, before if before.phase != "clear" else None)
            moved = step(before, seen, self.table.now, rule.trigger)
            if moved.episode is not before and moved.episode != before:
                yield rule, moved

    def _to_look_at(self, book: RuleBook, touched: Touched) -> list[Key]:
        keys = dict.fromkeys(book.watching(touched))
        if not touched.everything:
            ripe = sorted(key for key, at in self._due.items() if at <= self.table.now)
            keys.update(dict.fromkeys(key for key in ripe if book.has(key)))
        return sorted(keys, key=book.place)

    def _told(self, moves: Sequence[tuple[Rule, Step]], offset: int) -> list[Change]:
        """The moves as changes; the severest first where an alert budget has to be shared out."""
        order = sorted(range(len(moves)), key=lambda i: -rank(moves[i][1].episode))
        made = {i: self._changed(moves[i][1], moves[i][0], offset) for i in order}
        return [made[i] for i in range(len(moves))]

    def _dues(self, book: RuleBook) -> Iterator[tuple[Key, datetime]]:
        for episode in self.active():
            at = due(episode, book.rules[episode.trigger].trigger)
            if at is not None:
                yield (episode.trigger, episode.scope), at

    def _withdrawn(self, book: RuleBook, former: str, offset: int) -> Iterator[Change]:
        """End the episodes that the plan in force no longer watches, under the rules that began them."""
        gone = [key for key, episode in self.episodes.items() if episode.phase != "clear" and not book.has(key)]
        former_book = (self._book_of(former) if gone and former else None) or book
        for key in sorted(gone):
            reason = f"plan {book.name} has no trigger {key[0]} on {key[1]}"
            moved = withdraw(self.episodes[key], reason, self.table.now)
            yield self._changed(moved, former_book.rules.get(key[0]), offset)

    def _changed(self, moved: Step, rule: Rule | None, offset: int) -> Change:
        episode = replace(moved.episode, applied=offset)
        told = None
        if moved.transition is not None and not episode.shadow:
            now = Step(episode, moved.transition, moved.reason)
            told = recalibration(rule, now, self._scene, offset) if rule else farewell(now, self.table, offset)
            asks = _asks(self.episodes.get((episode.trigger, episode.scope)), moved)
            if asks and rule is not None and rule.plan.alert_budget is not None:
                episode = self._spent(episode, told, rule.plan.alert_budget.per_owner_week)
                told = replace(told, grouped=episode.grouped)
        key = episode.trigger, episode.scope
        self._keep(episode)
        if moved.transition == "resolved" and not episode.shadow:
            heappush(self._ended, (episode.ended[-1].at, key))
        at = due(episode, rule.trigger) if rule else None
        if at is None:
            self._due.pop(key, None)
        else:
            self._due[key] = at
        return Change(episode, told, moved.reason)

    def _spent(self, episode: Episode, told: Recalibration, limit: int) -> Episode:
        owners = [owner.id for owner in told.owners]
        week = self.table.week
        return spend(episode, owners, self._spenders.of(week), week=week, limit=limit)

    def _keep(self, episode: Episode) -> None:
        self.episodes[episode.trigger, episode.scope] = episode
        self._spenders.keep(episode)

    def active(self) -> Sequence[Episode]:
        """Episodes that are pending, firing or mitigated."""
        return [episode for episode in self.episodes.values() if episode.phase != "clear"]


def _asks(before: Episode | None, moved: Step) -> bool:
    """Whether it takes from the alert budget: it fires, or matters more than when it was last told."""
    if moved.transition == "firing":
        return True
    return before is not None and moved.transition is not None and rank(moved.episode) > rank(before)


def _not_to_be_judged(frame: Frame) -> bool:
    return frame.loading or frame.more

"""The alert budget: of what an owner is asked for in a week, the N most severe are asked for singly, the rest together.

An episode is grouped when as many others, at least as severe, were already asked of each of its owners singly in that
week. Nothing is dropped, and something more severe is never held back by what is less so. One whose severity rises is
weighed anew: grouped so far, it may be asked for singly now, and whoever is asked again has less left for others.
"""

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from shared.schemas.episode import SEVERITIES, Asked, Episode


def rank(episode: Episode) -> int:
    """How severe it is; a higher one is asked first."""
    return SEVERITIES.index(episode.severity)


def spend(episode: Episode, owners: list[str], known: Iterable[Episode], *, week: str, limit: int) -> Episode:
    """The episode that fires or whose severity rises now, grouped or counted against its owners' ``limit`` in ``week``.

    ``known`` are the episodes as they stand whose ``singly`` say what was asked in that week; others may be among them.
    """
    earlier = [asked for asked in episode.singly if asked.week == week]
    if not owners:
        return replace(episode, singly=earlier)
    used = dict.fromkeys(owners, 0)
    others = (one for one in known if (one.trigger, one.scope) != (episode.trigger, episode.scope))
    for asked in (asked for singly in (*(one.singly for one in others), earlier) for asked in singly):
        if asked.week == week and SEVERITIES.index(asked.severity) >= rank(episode):
            for owner in used.keys() & set(asked.owners):
                used[owner] += 1
    if min(used.values()) >= limit:
        return replace(episode, grouped=True, singly=earlier)
    return replace(episode, grouped=False, singly=[*earlier, Asked(week, episode.severity, owners)])


class Spenders:
    """The episodes that take from a budget: few, for the rest of a storm is grouped and need not be looked at."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Episode] = {}
        self._week = ""

    def keep(self, episode: Episode) -> None:
        """The episode stands so now."""
        if episode.singly:
            self._known[episode.trigger, episode.scope] = episode
        else:
            self._known.pop((episode.trigger, episode.scope), None)

    def of(self, week: str) -> Collection[Episode]:
        """All that were asked singly in ``week``; weeks only go on, so what took from earlier ones alone is let go."""
        if week != self._week:
            self._week = week
            spending = (one for one in self._known.values() if any(asked.week >= week for asked in one.singly))
            self._known = {(one.trigger, one.scope): one for one in spending}
        return self._known.values()

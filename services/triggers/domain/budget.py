"""The alert budget: of what an owner is asked for in a week, the N most severe are asked for singly, the rest together.

An episode is grouped when as many others, at least as severe, were already asked of each of its owners singly in that
week. Nothing is dropped, and something more severe is never held back by what is less so. One whose severity rises is
weighed anew: grouped so far, it may be asked for singly now, and whoever is asked again has less left for others.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from shared.schemas.episode import Asked, Episode

_RANK = {"info": 0, "warning": 1, "critical": 2}


def rank(episode: Episode) -> int:
    """How severe it is; a higher one is asked first."""
    return _RANK[episode.severity]


def spend(episode: Episode, owners: list[str], known: Iterable[Episode], *, week: str, limit: int) -> Episode:
    """The episode that fires or whose severity rises now, grouped or counted against its owners' ``limit`` in ``week``.

    ``known`` are all episodes as they stand, whose ``singly`` say what was asked so far.
    """
    earlier = [asked for asked in episode.singly if asked.week == week]
    if not owners:
        return replace(episode, singly=earlier)
    used = dict.fromkeys(owners, 0)
    others = (one for one in known if (one.trigger, one.scope) != (episode.trigger, episode.scope))
    for asked in (asked for singly in (*(one.singly for one in others), earlier) for asked in singly):
        if asked.week == week and _RANK[asked.severity] >= _RANK[episode.severity]:
            for owner in used.keys() & set(asked.owners):
                used[owner] += 1
    if min(used.values()) >= limit:
        return replace(episode, grouped=True, singly=earlier)
    return replace(episode, grouped=False, singly=[*earlier, Asked(week, episode.severity, owners)])

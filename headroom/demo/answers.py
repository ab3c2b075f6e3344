"""The owners of the demo's story: what they do once a webhook has asked them, and when."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headroom.demo.client import Api
from headroom.demo.facts import Answered, Facts
from headroom.story import Moment, Story
from headroom.story_parts import Answer
from shared.schemas.recalibration import Recalibration
from shared.schemas.week import add_weeks

Say = Callable[[str, str], None]


@dataclass(slots=True)
class _Asked:
    """One recalibration somebody has to answer, as first delivered."""

    recalibration: Recalibration
    answer: Answer
    acknowledged: bool = False
    decided: bool = False


@dataclass(slots=True)
class Owners:
    """Answers recalibrations as the story says; ``tell_later`` gets what the deal desk then changes in the CRM."""

    story: Story
    api: Api
    say: Say
    tell_later: Callable[[list[Moment]], None]
    _asked: dict[str, _Asked] = field(default_factory=dict)

    def hear(self, recalibration: Recalibration) -> None:
        """Somebody is asked, or told more about what they were asked."""
        answer = self.story.answers.get(recalibration.trigger)
        if answer is None or not recalibration.owners:
            return
        known = self._asked.get(recalibration.id)
        if known is None:
            self._asked[recalibration.id] = _Asked(recalibration, answer)
        else:
            known.recalibration = recalibration

    async def act(self, facts: Facts) -> None:
        """Do what is due at ``facts.now``."""
        for asked in self._asked.values():
            if asked.recalibration.kind == "resolved":
                continue
            if not asked.acknowledged and facts.now >= asked.recalibration.fired + asked.answer.acknowledge_after:
                asked.acknowledged = True
                await self._acknowledge(asked.recalibration)
            if asked.acknowledged and not asked.decided and is_time(asked.answer, asked.recalibration, facts):
                asked.decided = True
                await self._decide(asked.recalibration, asked.answer, facts)

    async def _acknowledge(self, recalibration: Recalibration) -> None:
        owner = recalibration.owners[0]
        await self.api.acknowledge(recalibration.id, owner.id)
        self.say(f"{owner.name} has seen it ({recalibration.trigger})", "cyan")

    async def _decide(self, recalibration: Recalibration, answer: Answer, facts: Facts) -> None:
        owner = recalibration.owners[0]
        held = to_hold(recalibration, answer, facts)
        effects = effects_of(recalibration, answer, held, facts.week)
        facts.decisions.append(Answered(recalibration, facts.now, owner.id, answer.why, held, dict(facts.work)))
        await self.api.decide(recalibration.id, by=owner.id, why=answer.why, action=answer.action, effects=effects)
        self.say(f"{owner.name} decides: {answer.why}", "bold green")
        if answer.requote_after is not None:
            at = facts.now + answer.requote_after
            minute = timedelta(minutes=1)  # one after the other, as a person does it
            self.tell_later([self.story.requote(deal, at + n * minute) for n, deal in enumerate(held)])


def is_time(answer: Answer, recalibration: Recalibration, facts: Facts) -> bool:
    """Whether the owner decides now."""
    if answer.decide_after is not None:
        return facts.now >= recalibration.fired + answer.decide_after
    if answer.decide_at is None:
        return False
    state = facts.work.get(recalibration.work or "")
    slipped = state is not None and state.slip_weeks >= answer.decide_at.slip_weeks
    return slipped or facts.now >= _deadline(recalibration) - answer.decide_at.before_deadline


def _deadline(recalibration: Recalibration) -> datetime:
    return recalibration.decide_by or recalibration.fired


def to_hold(recalibration: Recalibration, answer: Answer, facts: Facts) -> list[str]:
    """The open custom deals of the causing products whose configuration is held back: all but the largest few."""
    if answer.keep_custom is None:
        return []
    products = {deal.product for deal in recalibration.cause}
    custom = [deal for deal in facts.open_deals() if deal.custom and products & {line.product for line in deal.lines}]
    return [deal.id for deal in custom[answer.keep_custom :]]


def effects_of(recalibration: Recalibration, answer: Answer, held: list[str], week: str) -> list[dict[str, Any]]:
    """The decision's effects on capacity as the API takes them."""
    effects: list[dict[str, Any]] = []
    if held:
        effects.append({"pool": recalibration.pool, "deals": held})
    if answer.contractors is not None:
        first = add_weeks(week, answer.contractors.lead_weeks)
        weeks = [add_weeks(first, n) for n in range(answer.contractors.weeks)]
        effects.append({"pool": recalibration.pool, "weeks": weeks, "amount": answer.contractors.amount})
    return effects

"""The plan in force, as ``plans.v1`` has it: who may decide how much about what."""

from shared.errors import NotReady
from shared.plans import PublishedPlans
from shared.schemas.plan import Plan


class Plans(PublishedPlans):
    """Published plans, for those who ask while they are still being read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = False
        """Whether all that the topic held at the start is in: until then an earlier plan would seem to be in force."""

    @property
    def in_force(self) -> Plan | None:
        """The plan in force; None while none was published. Raises ``NotReady`` before the topic is read."""
        if not self.read:
            why = "this process has just started"
            raise NotReady("the plans are not read yet", why=why, do="Ask again in a moment.")
        last = self.last
        return last[1] if last else None

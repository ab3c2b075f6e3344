"""The plan in force, as ``plans.v1`` has it: who may decide how much about what."""

from shared.errors import NotReady
from shared.schemas.plan import Plan
from shared.schemas.published_plan import decode
from shared.streams.shards import Record


class Plans:
    """Follows ``plans.v1``, as ``TableReader`` brings it; the record that was written last is in force."""

    def __init__(self) -> None:
        self._last: bytes | None = None
        self._plan: Plan | None = None
        self.read = False
        """Whether all that the topic held at the start is in: until then an earlier plan would seem to be in force."""

    def add(self, record: Record) -> None:
        """Take in one record."""
        if record.value is not None:
            self._last, self._plan = record.value, None

    @property
    def in_force(self) -> Plan | None:
        """The plan in force; None while none was published. Raises ``NotReady`` before the topic is read."""
        if not self.read:
            why = "this process has just started"
            raise NotReady("the plans are not read yet", why=why, do="Ask again in a moment.")
        if self._plan is None and self._last is not None:
            self._plan = Plan.model_validate_json(bytes(decode(self._last).plan))
        return self._plan

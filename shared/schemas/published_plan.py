"""``plans.v1``: published plans, whole. The record written last is the plan in force."""

from datetime import datetime

import msgspec

TYPE = "headroom.plan.v1"


class PublishedPlan(msgspec.Struct, kw_only=True):
    """A plan as it was published: its text, the same as JSON with defaults filled in, and who published it when.

    The same content (``sha256`` of the canonical JSON) keeps its version.
    """

    id: str
    version: int
    sha256: str
    published: datetime
    publisher: str
    text: str
    plan: msgspec.Raw

    @property
    def name(self) -> str:
        """``id@version``, as frames and positions cite it."""
        return f"{self.id}@{self.version}"


def name_of_key(key: bytes | None) -> str:
    """The name under which a record lies, also one that is no plan."""
    return (key or b"").decode(errors="backslashreplace")


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(PublishedPlan).decode

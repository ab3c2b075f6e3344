"""The shapes that several routes take or give."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

LARGEST_ID = 2**63 - 1

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A name or an id: one line, no control characters."""

Prose = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
"""What a person writes; it may have several lines."""

Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
DeliveryId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
RecalibrationId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Strict(BaseModel):
    """A request body; an unknown field is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid")

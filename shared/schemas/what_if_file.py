"""Reads an overlay from its YAML text, and names everything that is wrong in it with file, line and column."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from shared.errors import PlanError
from shared.schemas.plan_kinds import other_kind
from shared.schemas.plan_problems import Problems
from shared.schemas.plan_words import findings
from shared.schemas.plan_yaml import Document, Path, Unreadable, read_yaml
from shared.schemas.what_if import WhatIf


class OverlayFile:
    """An overlay with the text it came from."""

    def __init__(self, text: str, file: str) -> None:
        """Raises PlanError when the text is no YAML at all, or says what no overlay can."""
        self._problems = Problems(text, file)
        self._document = self._read(text)
        self.overlay = self._checked()

    def refused(self, found: Iterable[tuple[Path, str]]) -> PlanError:
        """What somebody else found wrong in the overlay, by path, as problems of this file."""
        for path, reason in found:
            self._problems.add(self._document.spot(path), reason, path)
        return PlanError(self._problems.in_order())

    def _read(self, text: str) -> Document:
        try:
            document = read_yaml(text)
        except Unreadable as stop:
            self._problems.add(stop.spot, stop.why)
            raise PlanError(self._problems.in_order()) from None
        for spot, why in document.problems:
            self._problems.add(spot, why)
        return document

    def _checked(self) -> WhatIf:
        document, overlay = self._document, None
        if not isinstance(document.data, dict):
            raise self.refused([((), "an overlay is a mapping, such as deals: [{of: {ids: [crm/1]}, outcome: won}]")])
        if (instead := other_kind(document.data, "overlay")) is not None:
            raise self.refused([((), instead)])
        try:
            overlay = WhatIf.model_validate(document.data)
        except ValidationError as error:
            for path, message, about_key in findings(error, document.data, what_if_json_schema()):
                self._problems.add(document.spot(path, key=about_key), message, path)
        if overlay is None or self._problems.found:
            raise PlanError(self._problems.in_order())
        return overlay


@lru_cache(maxsize=1)
def what_if_json_schema() -> dict[str, Any]:
    """The JSON Schema of an overlay, for editors."""
    schema = WhatIf.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Headroom what-if"}

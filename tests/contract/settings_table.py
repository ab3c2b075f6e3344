"""The settings of every process, read from their classes, as the table in ``docs/guide/operations.md``.

``python -m tests.contract.settings_table`` writes the table anew.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.capacity.settings import CapacitySettings
from services.ingest.settings import IngestSettings
from services.notifier.settings import NotifierSettings
from services.triggers.settings import TriggersSettings
from shared.settings import Settings
from tests.contract.declared import ROOT

PAGE = ROOT / "docs" / "guide" / "operations.md"
BEGIN, END = "<!-- settings: generated -->\n", "<!-- settings: end -->\n"
CLASSES: dict[str, type[Settings]] = {
    "door, normalise": IngestSettings,
    "fold, project, views": CapacitySettings,
    "triggers": TriggersSettings,
    "notifier": NotifierSettings,
}


def fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with the name of its environment variable; a group of settings is its members."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{variable}__")
        else:
            yield variable, field


def table() -> str:
    """All of them: first what every process has, then what some have."""
    common = dict(fields(Settings, "HEADROOM_"))
    lines = ["| setting | of | default | what |", "|---|---|---|---|"]
    lines += [_line(name, "all", field) for name, field in common.items()]
    for who, model in CLASSES.items():
        own = {name: field for name, field in fields(model, "HEADROOM_") if name not in common}
        lines += [_line(name, who, field) for name, field in own.items()]
    return "\n".join(lines) + "\n"


def _line(name: str, who: str, field: FieldInfo) -> str:
    return f"| `{name}` | {who} | {_default(field)} | {field.description or ''} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value == "":
        return ""
    assert not isinstance(value, SecretStr), "a secret has no default"
    return f"`{value if isinstance(value, str | int | float) else json.dumps(value, default=str)}`"


def with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))

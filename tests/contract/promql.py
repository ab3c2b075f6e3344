"""The names of series in PromQL, without a parser of all of it: what is left when everything else is taken out."""

import re

_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][a-zA-Z0-9_:]*)(?!\s*\()(?![\w:])")
_OPERATORS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_BEFORE_GROUPING = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"}
_WORDS = _OPERATORS | _GROUPING | _BEFORE_GROUPING
_DURATION = re.compile(r"\boffset\s+-?[\dsmhdwy]+")


def series_in(query: str) -> set[str]:
    """Every series that ``query`` selects by name."""
    text = _STRING.sub('""', query)
    for pattern in (_MATCHERS, _RANGE, _LABELS, _DURATION):
        text = pattern.sub(" ", text)
    return {name for name in _NAME.findall(text) if name.lower() not in _WORDS}

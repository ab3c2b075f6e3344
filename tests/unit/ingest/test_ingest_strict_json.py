"""JSON that parsers read differently is refused, whatever it hides in."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.change import Unusable
from services.ingest.domain.strict_json import MAX_DEPTH, check, depth

HOSTILE: dict[str, bytes] = {
    "arrays 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "one deeper than allowed": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b"[-Infinity]",
    "1e999": b'{"a": 1e999}',
    "a number of 4,301 digits": b'{"a": ' + b"1" * 4301 + b"}",
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice, deep": b'[{"b": {"a": 1, "\\u0061": 2}}]',
    # Compared each with each, these names would take a minute.
    "the last of 60,000 names twice": b"{" + b"".join(b'"%x":1,' % n for n in range(60_000)) + b'"ea5f":1}',
    # Looked for from each quote, the end of this text would take as long.
    "a text of 100,000 quotes that does not end": b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 100_000,
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate as name": b'{"\\udfff": 1}',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "not UTF-8": b'"\xff"',
    "a newline in a string": b'"a\nb"',
    "two values": b"{} {}",
    "nothing": b"",
    "cut off": b'{"a": [1, 2',
    "single quotes": b"{'a': 1}",
    "a trailing comma": b"[1,]",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_json_is_refused(name: str) -> None:
    with pytest.raises(Unusable) as refused:
        check(HOSTILE[name])
    assert refused.value.reason == "malformed"
    assert refused.value.why


def test_json_as_deep_as_allowed_is_taken() -> None:
    check(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_brackets_in_strings_are_not_depth() -> None:
    text = json.dumps(["[" * 200, '\\"{' * 200, {"a": "]}"}]).encode()
    assert depth(text) == 2
    check(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
)


@given(_JSON)
def test_ordinary_json_is_taken(value: object) -> None:
    check(json.dumps(value).encode())
    check(json.dumps(value, ensure_ascii=False).encode())


@given(st.binary(max_size=200) | st.text('[]{}",:\\u0123ad \n').map(str.encode))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    with suppress(Unusable):
        check(text)
        json.loads(text)


_PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", r"\"", r"\":", r"\" :", r"\u0061", r"c\": "]),
        st.sampled_from([":", " :", "\n: ", ":  "]),
        st.sampled_from(["1", '"x"', '"a\\":"', '"\\" :"', "[]", '[{"a":1}]', '{"a" : {"b":2}}', '{"b":1,"b":2}']),
    ),
    max_size=5,
)


@given(_PAIRS)
def test_a_name_twice_is_found_however_it_is_written(pairs: list[tuple[str, str, str]]) -> None:
    """Against comparing the names of each object one by one; spaces, quotes and escapes must not hide any."""
    text = "{" + ",".join(f'"{name}"{colon}{value}' for name, colon, value in pairs) + "}"

    def once(found: list[tuple[str, object]]) -> dict[str, object]:
        for i, (name, _) in enumerate(found):
            if any(name == other for other, _ in found[:i]):
                raise ValueError(name)
        return dict(found)

    try:
        json.loads(text, object_pairs_hook=once)
    except ValueError:
        with pytest.raises(Unusable):
            check(text.encode())
    else:
        check(text.encode())

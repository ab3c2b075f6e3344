"""Looking for control characters only where there can be some answers as looking for them everywhere."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.domain.decoding import Decoder
from services.ingest.normalise.cloudevents import DealData, Envelope, LineData, ReportData

CAREFUL = {struct: msgspec.json.Decoder(struct) for struct in (DealData, ReportData)}
QUICK = {struct: Decoder(struct) for struct in (DealData, ReportData)}


def outcome(decoder: Any, text: bytes) -> object:
    try:
        return msgspec.structs.asdict(decoder.decode(text))
    except msgspec.ValidationError as error:
        return str(error)


ALSO_AS_THEY_ARE = ("\x7f", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize(
    ("character", "escaped"),
    [(each, True) for each in ("\x00", "\n", "\x1f", *ALSO_AS_THEY_ARE)] + [(each, False) for each in ALSO_AS_THEY_ARE],
)
def test_a_control_character_is_found_however_it_is_written(character: str, escaped: bool) -> None:
    said = json.dumps({"name": f"a{character}b"}, ensure_ascii=escaped).encode()
    with pytest.raises(msgspec.ValidationError):
        QUICK[DealData].decode(said)


@pytest.mark.parametrize("name", ["Brücke", "a b", "東京", "0" * 500])
def test_other_text_is_not(name: str) -> None:
    assert QUICK[DealData].decode(json.dumps({"name": name}, ensure_ascii=False).encode()).name == name


texts = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(
    ["", "x" * 201, "x" * 501, "x" * 4001, "EU"]
)
said = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={name: texts | st.none() for name in ("name", "object", "stage", "currency", "type", "close")}
        | {"lines": st.lists(st.fixed_dictionaries({"product": texts}), max_size=2)}
        | {"scale": st.dictionaries(texts, st.floats(-1e14, 1e14), max_size=2), "probability": st.floats(-1, 2)},
    ),
    st.fixed_dictionaries({"kind": st.just("absence"), "note": texts, "pool": texts}),
    st.fixed_dictionaries({"unknown": texts}),
)


@given(said, st.booleans())
@example({"name": "\x7f"}, False)
@example({"scale": {"\n": 1.0}}, True)
def test_it_decodes_and_refuses_what_the_plain_decoder_does(value: dict[str, Any], escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode()
    for struct, careful in CAREFUL.items():
        assert repr(outcome(QUICK[struct], text)) == repr(outcome(careful, text))


def test_what_it_makes_is_of_the_type_asked_for() -> None:
    decoded = QUICK[DealData].decode(b'{"lines": [{"product": "a"}]}')
    assert isinstance(decoded, DealData)
    assert isinstance(decoded.lines, list)
    assert isinstance(decoded.lines[0], LineData)
    assert Decoder(Envelope).type is Envelope

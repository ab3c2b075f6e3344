"""A YAML file of another kind is recognised, and the command that takes it is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headroom.load_mapping import MappingError, parse_mapping
from headroom.trigger_files import read_tests
from shared.errors import HeadroomError, PlanError
from shared.schemas.plan_file import parse_plan
from shared.schemas.plan_kinds import other_kind
from shared.schemas.plan_yaml import read_yaml
from shared.schemas.what_if_file import OverlayFile

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = {
    "plan": sorted(EXAMPLES.glob("*/plan.yaml")),
    "tests": sorted(EXAMPLES.glob("*/triggers_test.yaml")),
    "mapping": [EXAMPLES / "maven-crm" / "mapping.yaml"],
    "story": [EXAMPLES / "margin-volume-trap" / "story.yaml"],
    "overlay": [EXAMPLES / "margin-volume-trap" / "what-if.yaml"],
}
READ: dict[str, Callable[[Path], object]] = {
    "plan": lambda file: parse_plan(file.read_text(), file.name),
    "tests": read_tests,
    "mapping": lambda file: parse_mapping(file.read_text(), file.name),
    "overlay": lambda file: OverlayFile(file.read_text(), file.name),
}


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind, files in FILES.items() for file in files])
def test_each_example_is_told_from_every_other_kind(kind: str, file: Path) -> None:
    data = read_yaml(file.read_text()).data
    assert other_kind(data, kind) is None  # type: ignore[arg-type]
    for wanted in FILES.keys() - {kind}:
        assert other_kind(data, wanted) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "given", "said"),
    [
        ("plan", "tests", ":1:1: this is a test of triggers, not a plan; `headroom triggers test` takes it"),
        ("plan", "mapping", "this is a mapping of a CSV, not a plan; `headroom load deals FILE.csv --map` takes it"),
        ("tests", "plan", "this is a plan, not a test of triggers; `headroom plan check`, `plan apply` and `what-if "),
        ("plan", "overlay", ":1:1: this is an overlay, not a plan; `headroom what-if` takes it"),
        ("tests", "overlay", "this is an overlay, not a test of triggers; `headroom what-if` takes it"),
        ("overlay", "plan", "this is a plan, not an overlay; `headroom plan check`, `plan apply` and `what-if --plan`"),
        ("overlay", "tests", ":1:1: this is a test of triggers, not an overlay; `headroom triggers test` takes it"),
        ("mapping", "story", "this is a story, not a mapping of a CSV; `headroom demo` plays it"),
    ],
)
def test_it_is_the_one_thing_that_is_said(wanted: str, given: str, said: str) -> None:
    with pytest.raises(HeadroomError) as raised:
        READ[wanted](FILES[given][0])
    assert isinstance(raised.value, PlanError | MappingError)
    assert len(raised.value.problems) == 1
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "data", [None, [], "text", {}, {"plan": "fy26"}, {"plan": "fy26", "pols": {}}, {"plan": "fy26", "deals": []}]
)
def test_what_may_be_a_slip_is_left_to_the_checks(data: object) -> None:
    assert other_kind(data, "plan") is None

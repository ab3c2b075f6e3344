"""Deployment files read as the tools read them: compose with its anchors and variables, kustomize overlays rendered.

Only what these files use is rendered; anything else in a kustomization fails, so that nothing goes unlooked at.
"""

import dataclasses
import importlib
import importlib.util
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
KUSTOMIZE = {"apiVersion", "kind", "resources", "components", "images", "replicas", "patches"}

Document = dict[str, Any]


def documents(file: Path) -> list[Document]:
    """Every YAML document of a file, anchors resolved."""
    return [plain(document) for document in YAML(typ="safe").load_all(file.read_text()) if document is not None]


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


# -- compose


def compose(variables: Mapping[str, str]) -> Document:
    """``docker-compose.yml`` with ``variables`` put in as ``docker compose`` does."""
    (document,) = documents(ROOT / "docker-compose.yml")
    return json.loads(
        re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: _variable(m, variables), json.dumps(document))
    )


def own(composed: Document) -> dict[str, Document]:
    """The services that run our image."""
    return {name: one for name, one in composed["services"].items() if one["image"].startswith("headroom:")}


def interpolated() -> set[str]:
    """The variables that compose itself puts into its file; no process need read them."""
    return set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, how, text = match.groups()
    if variables.get(name):
        return variables[name]
    assert how == "-", f"{name} is not set: {text}"
    return str(text)


def compose_schema() -> Document:
    """The compose specification's schema, from the package that carries it."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.submodule_search_locations
    vendored = Path(spec.submodule_search_locations[0]) / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text())


# -- kustomize


def render(folder: Path, components: Sequence[str] = ()) -> list[Document]:
    """What ``kubectl apply -k`` would send: resources, then components, images, replicas and patches over them.

    ``components`` come to those that the kustomization names.
    """
    (kustomization,) = documents(folder / "kustomization.yaml")
    assert set(kustomization) <= KUSTOMIZE, "teach this renderer what is new"
    found: list[Document] = []
    for name in kustomization["resources"]:
        place = folder / name
        found += render(place) if place.is_dir() else documents(place)
    for name in [*kustomization.get("components", ()), *components]:
        (component,) = documents(folder / name / "kustomization.yaml")
        assert set(component) == {"apiVersion", "kind", "patches"}, "teach this renderer what is new"
        assert component["kind"] == "Component"
        _patch(found, component["patches"])
    for image in kustomization.get("images", ()):
        named = [
            one for _, pod in pods(found) for one in pod["containers"] if one["image"].split(":")[0] == image["name"]
        ]
        assert named, f"{image['name']} is the image of a container"
        for container in named:
            container["image"] = f"{image['newName']}:{image['newTag']}"
    for replicas in kustomization.get("replicas", ()):
        scaled = [one for one in found if _is(one, replicas) and "replicas" in one["spec"]]
        assert len(scaled) == 1, f"{replicas['name']} names one workload"
        scaled[0]["spec"]["replicas"] = replicas["count"]
    _patch(found, kustomization.get("patches", ()))
    return found


def _is(document: Document, target: Mapping[str, Any]) -> bool:
    """Whether a patch's target means the document: kind and name are regular expressions, whole."""
    assert set(target) <= {"kind", "name", "count", "labelSelector"}, "teach this renderer what is new"
    what = document["metadata"]
    label, _, value = target.get("labelSelector", "").partition("=")
    return (
        re.fullmatch(target.get("name", ".*"), what["name"]) is not None
        and re.fullmatch(target.get("kind", ".*"), document["kind"]) is not None
        and (not label or what.get("labels", {}).get(label) == value)
    )


def _patch(found: list[Document], patches: Sequence[Mapping[str, Any]]) -> None:
    for patch in patches:
        targets = [one for one in found if _is(one, patch["target"])]
        assert targets, f"{patch['target']} is nobody"
        for target in targets:
            for operation in YAML(typ="safe").load(patch["patch"]):
                _change(target, plain(operation))


def _change(target: Document, operation: Document) -> None:
    *way, last = operation["path"].strip("/").split("/")
    place: Any = target
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if (operation["op"], last) == ("add", "-"):
        place.append(operation["value"])
        return
    assert operation["op"] == "replace", "teach this renderer what is new"
    assert last in place, f"{operation['path']} is not there to be replaced"
    place[last] = operation["value"]


def pods(rendered: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Every workload with the spec of its pods."""
    for document in rendered:
        if "template" in document.get("spec", {}):
            yield document, document["spec"]["template"]["spec"]


# -- Kubernetes' own types


def check_manifest(document: Document) -> None:
    """Raise unless Kubernetes knows every field of the document, with values of its type."""
    group, _, version = document["apiVersion"].rpartition("/")
    module = {"": "core", "apps": "apps", "batch": "batch", "policy": "policy"}[group]
    kind = getattr(_types(f"{module}_{version}"), document["kind"])
    _validated(kind).validate_json(json.dumps(document))


@cache
def _validated(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _types(name: str) -> types.ModuleType:
    """A module of lightkube-models, whose dataclasses are generated from Kubernetes' OpenAPI document.

    They look for three names in lightkube's client, which is not needed for types; and they are told to refuse what
    they do not know.
    """

    def strict(**options: Any) -> Any:
        def make(cls: type) -> type:
            cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
            return dataclasses.dataclass(**options)(cls)

        return make

    stub = types.ModuleType("lightkube.core.schema")
    stub.DictMixin = object  # type: ignore[attr-defined]
    stub.field = dataclasses.field  # type: ignore[attr-defined]
    stub.dataclass = lambda cls=None, **options: strict(**options)(cls) if cls else strict(**options)  # type: ignore[attr-defined]
    sys.modules.setdefault("lightkube.core", types.ModuleType("lightkube.core"))
    sys.modules.setdefault("lightkube.core.schema", stub)
    return importlib.import_module(f"lightkube.models.{name}")

"""The deployment files against what they name: published schemas, settings, commands, routes and the house's rules.

No container engine is needed; ``manifests.py`` reads the files as compose and kustomize do.
"""

import copy
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from pydantic import BaseModel
from pydantic_settings import BaseSettings
from starlette.routing import Route

from headroom.cli import app as headroom
from headroom.local.system import PROGRAMS
from services.capacity.settings import CapacitySettings
from services.ingest.settings import IngestSettings
from services.notifier.settings import NotifierSettings
from services.triggers.settings import TriggersSettings
from shared.http import create_ops_app
from tests.contract.manifests import (
    K8S,
    ROOT,
    Document,
    check_manifest,
    compose_schema,
    interpolated,
    own,
    pods,
    render,
)

SETTINGS: dict[str, type[BaseSettings]] = {
    "ingest": IngestSettings,
    "capacity": CapacitySettings,
    "triggers": TriggersSettings,
    "notifier": NotifierSettings,
}
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
FROM_SECRET = {"HEADROOM_DATABASE_URL", "HEADROOM_BOOTSTRAP_KEY_HASH"}
FILES = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *sorted(K8S.rglob("*.yaml"))]


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> list[Document]:
    return render(K8S / "overlays" / str(request.param))


# -- published schemas


def test_compose_is_what_the_specification_allows(composed: Document) -> None:
    jsonschema.validate(composed, compose_schema())
    wrong = copy.deepcopy(composed)
    wrong["services"]["door"]["read_onyl"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, compose_schema())


def test_manifests_are_what_kubernetes_allows(rendered: list[Document]) -> None:
    for document in rendered:
        check_manifest(document)
    wrong = copy.deepcopy(next(document for document, _ in pods(rendered) if document["kind"] == "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = "10"
    with pytest.raises(ValueError, match="periodSeconds"):
        check_manifest(wrong)


def test_names_are_used_once(rendered: list[Document]) -> None:
    names = [(document["kind"], document["metadata"]["name"]) for document in rendered]
    assert len(names) == len(set(names))


# -- settings


def names_of(model: type[BaseModel], prefix: str = "HEADROOM_") -> Iterator[str]:
    """Every variable that a settings class reads."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        yield prefix + name.upper()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from names_of(kind, f"{prefix}{name.upper()}__")


KNOWN = {name for settings in SETTINGS.values() for name in names_of(settings)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_variable_named_is_one_that_is_read(file: Path) -> None:
    named = set(re.findall(r"\bHEADROOM_[A-Z0-9_]*[A-Z0-9]\b", file.read_text()))
    assert named - KNOWN - interpolated() == set()


def test_a_variable_nobody_reads_would_be_found() -> None:
    assert "HEADROOM_KAFKA__BOOTSTRAP" in KNOWN
    assert "HEADROOM_NOTIFIER__TIMEOUT" in KNOWN
    assert "HEADROOM_KAFKA_BOOTSTRAP" not in KNOWN


def test_every_process_of_compose_can_read_its_settings(
    composed: Document, image: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, service in own(composed).items():
        for variable, value in {**image_environment(image), **service["environment"]}.items():
            monkeypatch.setenv(variable, str(value))
        settings = settings_of(service["command"])()
        assert settings.kafka.bootstrap.split(":")[0] in composed["services"], name  # type: ignore[attr-defined]


def test_every_process_of_kubernetes_can_read_its_settings(
    rendered: list[Document], image: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (configuration,) = [document["data"] for document in rendered if document["kind"] == "ConfigMap"]
    assert not FROM_SECRET & set(configuration), "secrets come from the secret"
    for _, pod in pods(rendered):
        (container,) = pod["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "headroom"}}, {"secretRef": {"name": "headroom"}}]
        for variable, value in {**image_environment(image), **configuration}.items():
            monkeypatch.setenv(variable, value)
        for variable in container.get("env", ()):
            assert variable["name"] in KNOWN
            monkeypatch.setenv(variable["name"], "pod-0")
        settings_of(container["command"])()


def image_environment(image: dict[str, list[str]]) -> dict[str, str]:
    pairs = [pair.split("=", 1) for line in image["ENV"] for pair in line.split()]
    return {name: value for name, value in pairs if name.startswith("HEADROOM_")}


def settings_of(command: list[str]) -> type[BaseSettings]:
    service = re.search(r"services\.(\w+)", " ".join(command))
    return SETTINGS[service.group(1)] if service else IngestSettings


# -- commands and routes


def test_compose_runs_every_process_once(composed: Document) -> None:
    running = {name: tuple(one["command"]) for name, one in own(composed).items() if name != "setup"}
    assert running == {name: ("python", "-m", *program) for name, program in PROGRAMS.items()}
    check_shell(own(composed)["setup"]["command"])


def test_kubernetes_runs_every_process(rendered: list[Document]) -> None:
    commands = {document["metadata"]["name"]: pod["containers"][0]["command"] for document, pod in pods(rendered)}
    check_shell(commands.pop("setup"))
    assert commands.pop("tools") == ["sleep", "infinity"]
    assert commands == {name: ["python", "-m", *program] for name, program in PROGRAMS.items()}
    for module, *_ in PROGRAMS.values():
        assert importlib.util.find_spec(f"{module}.__main__") is not None


def check_shell(command: list[str]) -> None:
    """Every command of a ``sh -c`` is one that ``headroom`` has."""
    shell, flag, script = command
    assert (shell, flag) == ("sh", "-c")
    for part in script.split("&&"):
        program, *words = part.split()
        assert program == "headroom"
        found: Any = typer.main.get_command(headroom)
        for word in words:
            found = getattr(found, "commands", {}).get(word)
        assert found is not None, part
        assert not hasattr(found, "commands"), f"{part} is only the beginning of a command"


def test_probes_ask_routes_that_exist_on_the_port_that_is_served(
    rendered: list[Document], image: dict[str, list[str]]
) -> None:
    routes = {route.path for route in create_ops_app("any", list).routes if isinstance(route, Route)}
    port = int(image_environment(image)["HEADROOM_HTTP__PORT"])
    assert image["EXPOSE"] == [str(port)]
    asked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", image["HEALTHCHECK"][0])
    assert asked is not None
    assert (int(asked.group(1)), asked.group(2)) == (port, "/readyz")
    assert asked.group(2) in routes
    for document, pod in pods(rendered):
        if document["metadata"]["name"] not in PROGRAMS:
            continue
        (container,) = pod["containers"]
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}
            assert path in routes
        annotations = document["spec"]["template"]["metadata"]["annotations"]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)}


def test_every_service_of_compose_has_a_health_check(composed: Document) -> None:
    for name, service in composed["services"].items():
        if service["image"].startswith("headroom:"):
            assert "healthcheck" not in service or name == "setup", "the image brings its own"
        else:
            assert service["healthcheck"]["test"], name
    for name, service in own(composed).items():
        awaited = {other: how["condition"] for other, how in service["depends_on"].items()}
        expected = {"kafka": "service_healthy", "postgres": "service_healthy"}
        assert awaited == (expected if name == "setup" else expected | {"setup": "service_completed_successfully"})


# -- the image


def test_production_runs_only_an_image_that_somebody_has_named() -> None:
    """As delivered it names one that cannot be there, rather than whatever a node happens to call headroom:dev."""
    images = {
        container["image"]
        for _, pod in pods(render(K8S / "overlays" / "production"))
        for container in pod["containers"]
    }
    (image,) = images
    assert image.split("/")[0] == "registry.invalid"
    small = {
        container["image"] for _, pod in pods(render(K8S / "overlays" / "small")) for container in pod["containers"]
    }
    assert small == {"headroom:dev"}


def test_the_pod_for_commands_by_hand_waits_for_nobody(rendered: list[Document]) -> None:
    (tools,) = [document for document, _ in pods(rendered) if document["metadata"]["name"] == "tools"]
    assert tools["spec"]["replicas"] == 0, "it has nothing to do until somebody wants it"
    assert "annotations" not in tools["spec"]["template"]["metadata"], "it serves nothing that could be scraped"


# -- the house's rules


def test_ports_of_compose_are_bound_to_loopback_alone(composed: Document) -> None:
    published = [port for service in composed["services"].values() for port in service.get("ports", ())]
    assert len(published) >= 3
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_our_containers_of_compose_can_do_nothing_but_run(composed: Document) -> None:
    for name, service in own(composed).items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service, "the image's own, which is not root"
        assert "volumes" not in service
        assert "privileged" not in service


def test_the_image_is_not_run_by_root(image: dict[str, list[str]]) -> None:
    user, _, group = image["USER"][-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_pods_can_do_nothing_but_run(rendered: list[Document]) -> None:
    for document, pod in pods(rendered):
        name = document["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert min(security["runAsUser"], security["runAsGroup"]) > 0
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        assert [(mount["name"], mount["mountPath"]) for mount in container["volumeMounts"]] == [("tmp", "/tmp")]


def test_labels_selectors_and_names_fit(rendered: list[Document]) -> None:
    services = {one["metadata"]["name"]: one["spec"] for one in rendered if one["kind"] == "Service"}
    workloads = {one["metadata"]["name"]: one for one, _ in pods(rendered)}
    for name, workload in workloads.items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "headroom"}
        if workload["kind"] == "Job":
            continue
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        if name not in PROGRAMS:
            continue
        assert services[name]["selector"].items() <= labels.items()
        if workload["kind"] == "StatefulSet":
            assert workload["spec"]["serviceName"] == name
            assert services[name]["clusterIP"] == "None"
            (identity,) = workload["spec"]["template"]["spec"]["containers"][0]["env"]
            assert identity["name"] == "HEADROOM_KAFKA__INSTANCE_ID", "a lasting name is what it is a set for"
    for budget in (one for one in rendered if one["kind"] == "PodDisruptionBudget"):
        assert budget["metadata"]["name"] in workloads
        assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": budget["metadata"]["name"]}


def test_shared_partitions_bound_the_replicas(rendered: list[Document]) -> None:
    (configuration,) = [document["data"] for document in rendered if document["kind"] == "ConfigMap"]
    partitions = int(configuration["HEADROOM_KAFKA__PARTITIONS"])
    for document, _ in pods(rendered):
        if document["metadata"]["name"] in ("normalise", "fold"):
            assert document["spec"]["replicas"] <= partitions, "the rest would stand by for nothing"

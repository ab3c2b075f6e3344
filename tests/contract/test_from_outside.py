"""What an operator brings reaches every container and every pod: settings from a file, certificates, components."""

import re

import jsonschema
from ruamel.yaml import YAML

from headroom.local.system import PROGRAMS
from tests.contract.manifests import K8S, ROOT, Document, check_manifest, compose_schema, own, plain, pods, render


def test_every_container_of_compose_takes_any_setting(composed: Document) -> None:
    """From a file that need not be there, and that neither the repository nor the image may ever hold."""
    for name, service in own(composed).items():
        assert service["env_file"] == [{"path": "headroom.env", "required": False}], name
        fixed = {"HEADROOM_KAFKA__BOOTSTRAP", "HEADROOM_DATABASE_URL", "HEADROOM_BOOTSTRAP_KEY_HASH"}
        assert set(service["environment"]) == fixed, "the file cannot say anything about these"
    for ignoring in (".gitignore", ".dockerignore"):
        kept_out = {line.strip("/") for line in (ROOT / ignoring).read_text().split()}
        assert {".env", "headroom.env", "certificates", "docker-compose.override.yml"} <= kept_out, ignoring


def test_certificates_reach_every_pod() -> None:
    """With the component that production names in a comment; what the page mounts under compose is the same place."""
    production, component = K8S / "overlays" / "production", "../../components/certificates"
    assert f"# components: [{component}]" in (production / "kustomization.yaml").read_text()
    rendered = render(production, [component])
    named = {document["metadata"]["name"] for document, _ in pods(rendered)}
    assert named == {*PROGRAMS, "setup", "tools"}
    for document, pod in pods(rendered):
        check_manifest(document)
        assert pod["volumes"][1:] == [{"name": "certificates", "secret": {"secretName": "headroom-certificates"}}]
        (container,) = pod["containers"]
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "certificates"]
        assert mount == {"name": "certificates", "mountPath": "/etc/headroom", "readOnly": True}


def test_the_override_that_the_page_shows_reaches_every_container(composed: Document) -> None:
    page = (ROOT / "docs" / "guide" / "security.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    override = plain(YAML(typ="safe").load(block))
    jsonschema.validate(override, compose_schema())
    assert set(override["services"]) == set(own(composed))
    for name, service in override["services"].items():
        assert service["volumes"] == ["./certificates:/etc/headroom:ro"], name
        assert set(service["environment"]) <= set(composed["services"][name]["environment"]), name

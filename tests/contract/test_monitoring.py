"""Rules, runbooks, dashboards and scrape configuration: valid, tested, and naming only what exists."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from headroom.local.system import PROGRAMS
from tests.contract.declared import PROCESSES, ROOT, declared
from tests.contract.promql import series_in

PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yaml"))
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
OF_OTHERS = {"up", "ALERTS", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Series that Prometheus and its client make themselves."""
SECTIONS = ("What it means", "What the user sees", "First look", "What to do", "Over when")


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def rules(kind: str) -> list[dict[str, Any]]:
    found = [rule for path in RULE_FILES for group in read(path)["groups"] for rule in group["rules"] if kind in rule]
    assert found
    return found


ALERTS = rules("alert")
RECORDED = {rule["record"] for rule in rules("record")}
KNOWN = {name for series in declared() for name in series.samples} | RECORDED | OF_OTHERS
TESTS = [(path, test) for path in TEST_FILES for test in read(path)["tests"]]


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> None:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not here: .ci/run installs it (Debian's package prometheus)")
        pytest.skip("promtool is not here: on Debian, apt-get install --no-install-recommends prometheus")
    ran = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# -- the reader of queries


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("up == 0", {"up"}),
        ('sum by (job, le) (rate(a_total{x="b_total{c}"}[5m])) / ignoring (z) group_left (y) c_d', {"a_total", "c_d"}),
        ("a unless a offset 15m > 0 or on () max(b) and 3 * 86400", {"a", "b"}),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval]))) or vector(0)", {"h_bucket"}),
        ("topk(20, job:x:rate5m) > 1e3", {"job:x:rate5m"}),
        ("sum(a) by (role) + count without (pool) (b)", {"a", "b"}),
    ],
)
def test_series_are_found_in_queries(query: str, names: set[str]) -> None:
    assert series_in(query) == names


# -- rules


@pytest.mark.parametrize("rule", [*ALERTS, *rules("record")], ids=lambda rule: rule.get("alert") or rule.get("record"))
def test_a_rule_names_only_series_that_exist(rule: dict[str, Any]) -> None:
    assert series_in(rule["expr"])
    assert series_in(rule["expr"]) <= KNOWN


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_why_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"Headroom[A-Z][A-Za-z]+", alert["alert"])
    assert alert["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    text = (ROOT / alert["annotations"]["runbook_url"]).read_text()
    assert text.startswith(f"# {alert['alert']}\n")
    assert f"Severity **{alert['labels']['severity']}**" in text
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert tuple(parts[1::2]) == SECTIONS
    assert all(len(part.strip()) > 7 for part in parts[2::2])


def test_no_alert_is_declared_twice_and_no_runbook_is_an_orphan() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    runbooks = ROOT / "docs" / "runbooks"
    assert {path.stem for path in runbooks.glob("*.md")} == {*names, "README"}
    index = (runbooks / "README.md").read_text()
    assert [name for name in names if f"[{name}]({name}.md) | " not in index] == []


def test_runbooks_link_to_what_exists() -> None:
    guides = [ROOT / "docs" / "guide" / name for name in ("operations.md", "by-hand.md")]
    for path in [*(ROOT / "docs" / "runbooks").glob("*.md"), *guides]:
        for target, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]*))?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
            if anchor:
                assert anchor in anchors((path.parent / target).read_text()), f"{path.name}: {target}#{anchor}"


def anchors(page: str) -> set[str]:
    """How the headings of a page are linked to."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_runbooks_name_only_series_that_exist() -> None:
    families = KNOWN | {series.name for series in declared()}
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        named = set(re.findall(r"\bheadroom_[a-z0-9_]+", path.read_text())) - {"headroom_"}
        assert named <= families, path.name


# -- their tests


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_is_shown_to_fire_to_stay_silent_and_to_meet_missing_data(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    ours = {test["name"]: test for _, test in TESTS if test["name"].split(" ")[0] == name}
    kinds = {test.removeprefix(name).strip().split(" ")[0] for test in ours}
    assert kinds == {"fires", "stays", "without"}

    def expected(test: dict[str, Any]) -> list[Any]:
        return [one for check in test["alert_rule_test"] if check["alertname"] == name for one in check["exp_alerts"]]

    fires, silent = ours[f"{name} fires"], ours[f"{name} stays silent"]
    assert expected(fires)
    assert silent["input_series"], "silence without data shows nothing"
    assert expected(silent) == []
    (absent,) = [test for said, test in ours.items() if said.startswith(f"{name} without")]
    given = {series_name for one in absent["input_series"] for series_name in series_in(one["series"])}
    assert not (series_in(alert["expr"]) - {"up", "headroom_ready"}) & given
    told = [check["alertname"] for check in absent["alert_rule_test"] if check["exp_alerts"]]
    assert told == ["HeadroomProcessAbsent"] or name == "HeadroomHeartbeat", "something must say that data is missing"


def test_the_series_whose_absence_tells_are_there_from_a_process_s_start() -> None:
    """Each process is known by one of its own, without labels, which would come with their first values."""
    (alert,) = [one for one in ALERTS if one["alert"] == "HeadroomSeriesAbsent"]
    own = dict(re.findall(r'(headroom_\w+){job="(\w+)"}', alert["expr"]))
    assert sorted(own.values()) == sorted(PROGRAMS)
    for name, job in own.items():
        (series,) = [one for one in declared() if name in one.samples]
        assert (PROCESSES[series.registry], series.labels) == (job, ())


def test_rules_are_valid() -> None:
    promtool("check", "rules", *(str(path) for path in RULE_FILES))


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_do_as_their_tests_say(path: Path) -> None:
    promtool("test", "rules", str(path))


# -- what is scraped


def test_every_process_is_a_job_of_its_name() -> None:
    jobs = {job["job_name"]: job for job in read(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
    assert set(jobs) == set(PROGRAMS)
    assert all(job["dns_sd_configs"][0]["names"] == [name] for name, job in jobs.items())
    services = read(ROOT / "docker-compose.yml")["services"]
    assert set(PROGRAMS) <= set(services)


def test_kubernetes_pods_carry_what_discovery_asks_for() -> None:
    (job,) = read(PROMETHEUS / "kubernetes.yml")["scrape_configs"]
    assert "__meta_kubernetes_pod_annotation_prometheus_io_scrape" in str(job["relabel_configs"])
    for name in PROGRAMS:
        documents = list(YAML(typ="safe").load_all((ROOT / "deploy" / "k8s" / "base" / f"{name}.yaml").read_text()))
        (pod,) = [d["spec"]["template"]["metadata"] for d in documents if "template" in d.get("spec", {})]
        assert pod["annotations"]["prometheus.io/scrape"] == "true"
        assert pod["labels"]["app.kubernetes.io/name"] == name
        assert pod["labels"]["app.kubernetes.io/part-of"] == "headroom"


def test_the_scrape_configuration_is_valid() -> None:
    promtool("check", "config", "prometheus.yml")


# -- dashboards


def queries(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"] == path.stem
    assert dashboard["description"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "prometheus"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for title, query in queries(dashboard):
        assert series_in(query), title
        assert series_in(query) <= KNOWN, title


def test_dashboards_have_names_of_their_own_and_show_every_series() -> None:
    read_all = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({one["uid"] for one in read_all}) == len({one["title"] for one in read_all}) == 3
    shown = {name for one in read_all for _, query in queries(one) for name in series_in(query)}
    shown |= {name for rule in rules("record") if rule["record"] in shown for name in series_in(rule["expr"])}
    alerted = {name for alert in ALERTS for name in series_in(alert["expr"])}
    unseen = [series.name for series in declared() if not series.samples & (shown | alerted)]
    assert set(unseen) <= {
        "headroom_ingest_plans_published_total",
        "headroom_book_timestamp_seconds",
    }, "a series that is on no dashboard and in no alert helps nobody"


def test_every_query_of_every_dashboard_is_valid_promql(tmp_path: Path) -> None:
    lines = ["groups:", "  - name: dashboards", "    rules:"]
    for path in DASHBOARDS:
        for number, (_, query) in enumerate(queries(json.loads(path.read_text()))):
            lines.append(f"      - record: {path.stem.replace('-', '_')}:query{number}")
            lines.append(f"        expr: {json.dumps(query.replace('$__rate_interval', '5m'))}")
    (tmp_path / "queries.yaml").write_text("\n".join(lines) + "\n")
    promtool("check", "rules", "queries.yaml", cwd=tmp_path)


def test_grafana_is_given_the_folder_that_compose_mounts() -> None:
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "headroom.yaml")["providers"]
    mounts = read(ROOT / "docker-compose.yml")["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    (source,) = read(GRAFANA / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]
    assert source["uid"] == "prometheus"

"""``make demo`` as somebody runs it who has no terminal: the whole system, the whole story, the summary as JSON."""

import json
import os
import subprocess
import sys

import pytest

from headroom.local.system import ROOT

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(420)
def test_the_demo_shows_what_it_promises(kafka: str, database_server: str) -> None:
    environment = {**os.environ, "HEADROOM_KAFKA__BOOTSTRAP": kafka, "HEADROOM_DATABASE_URL": database_server}
    command = [sys.executable, "-m", "headroom", "demo", "--json", "--fast"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"] is True
    assert {claim["claim"] for claim in summary["claims"] if not claim["holds"]} == set()

    control, trap = summary["quarters"]
    assert (control["period"], control["alarms"], control["green_throughout"]) == ("2026-Q1", 0, True)
    assert (trap["period"], trap["green_throughout"]) == ("2026-Q2", True)
    assert trap["bookings"] > trap["target"]
    assert trap["discount"] > control["discount"] > 0

    alarm = summary["alarm"]
    assert (alarm["trigger"], alarm["owners"]) == ("release-slipping", ["Head of Engineering"])
    assert (alarm["open_deals"], alarm["won_deals"]) == (32, 0)
    assert {deal.split("-")[0] for deal in alarm["cause"]} == {"crm/E"}
    assert alarm["fired"][:7] == "2026-05"
    assert alarm["weeks_before_due"] > 4
    assert alarm["weeks_before_overload"] > 1
    assert alarm["weeks_before_last_responsible"] > 0

    release = summary["release"]
    assert (release["week_without"], release["week_with"]) == (18, 13)
    assert (release["without"]["slip_weeks"], release["with_decision"]["slip_weeks"]) == (6, 1)
    assert release["held_deals"] == 27

    revenue = summary["revenue"]
    assert revenue["at_risk_without"] / revenue["yearly"] == pytest.approx(0.15)
    assert revenue["at_risk_with"] == 0

    sent = summary["deliveries"]
    assert sent["verified"] == sent["delivered_by_log"] > 0
    assert sent["refused"] == 0

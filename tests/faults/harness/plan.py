"""The plan of fault runs: flat curves and nothing pushed, so that what it asks for can be added up by hand.

Every product asks one pool, or two, for so many hours a unit, spread evenly over so many weeks. The pool ``probe`` is
for the harness alone: its one deal tells when the system is alive again.
"""

from tests.faults.harness.system import weeks_ahead

PROBE = "probe"
PER_WEEK = {"build": 700.0, "support": 500.0, "design": 350.0, "hiring": 200.0, "spend": 1200.0, PROBE: 100.0}
BASE = {"build": 12.5}
NEEDS = {
    "basic": [("build", 12.0, 4)],
    "enterprise": [("build", 30.0, 3), ("support", 8.0, 2)],
    "course": [("support", 20.0, 2)],
    "sketch": [("design", 15.0, 5)],
    "crew": [("hiring", 6.0, 1), ("design", 4.0, 2)],
    "campaign": [("spend", 40.0, 4)],
    PROBE: [(PROBE, 10.0, 1)],
}
"""By product: pool, hours a unit, over how many weeks."""

STAGES = {"qualified": 0.2, "commit": 0.7, "won": 1.0, "lost": 0.0}
HORIZON = 20
WATCHED = 18
FIRST_CLOSE, LAST_CLOSE = 4, 12
"""Weeks from the beginning between which deals close."""

FIRES_ABOVE, CLEARS_BELOW = 1.0, 0.9
TRIGGER = "overcommitted"


def text(capacities: dict[str, float]) -> str:
    """The plan with these hours a week by pool, as somebody would publish it."""
    lines = [
        "plan: faults", "currency: EUR", "timezone: UTC", f"start: {weeks_ahead(0)}", f"horizon_weeks: {HORIZON}",
        "people: {ana: {name: Ana}, ben: {name: Ben}}", "stages:",
        "  qualified: {class: open, probability: 0.2}", "  commit: {class: open, probability: 0.7}",
        "  won: {class: won}", "  lost: {class: lost}", "pools:",
    ]  # fmt: skip
    for pool, hours in capacities.items():
        base = f", base_load: {BASE[pool]}" if pool in BASE else ""
        lines.append(f"  {pool}: {{kind: work, unit: hours, owner: ana, capacity: {{per_week: {hours}}}{base}}}")
    lines.append("products:")
    for product, needs in NEEDS.items():
        asked = [f"{{pool: {p}, effort: {e}, curve: {{shape: flat, weeks: {w}}}}}" for p, e, w in needs]
        lines.append(f"  {product}: {{needs: [{', '.join(asked)}]}}")
    lines += [
        "triggers:",
        f"  - trigger: {TRIGGER}", "    watch: position", f"    where: {{within_weeks: {WATCHED}}}",
        f"    when: utilisation > {FIRES_ABOVE}", f"    clear: utilisation < {CLEARS_BELOW}", "    severity: warning",
        "    ask: {owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"

"""A small plan to break in tests, and the way to say where."""

from shared.errors import PlanError
from shared.schemas.plan_file import parse_plan

SMALL = """\
plan: fy26
currency: EUR
timezone: Europe/Berlin
horizon_weeks: 26
people:
  ana: {name: Ana}
  ben: {name: Ben, email: ben@example.com}
stages:
  commit: {class: open, probability: 0.5, push_weeks: [0.5, 0.3, 0.2], stale_after: 120d}
  won: {class: won}
pools:
  engineering:
    kind: work
    unit: hours
    owner: ana
    escalation: [ben]
    capacity: {per_week: 320, holidays: DE}
    helps: {support: 0.6}
  support:
    kind: queue
    unit: tickets
    owner: ben
    queue: {handling_minutes: 35, agents: 14, hours: 35, open_hours: 60, answer_within_minutes: 60, share: 0.9}
products:
  enterprise:
    list_price: 48000
    needs:
      - {pool: engineering, effort: 10, custom_effort: 60, curve: {shape: flat, weeks: 4}, for: [new]}
      - {pool: support, effort: 6, per: week, after_weeks: 4, weeks: 26}
work:
  core-release: {pool: engineering, effort: 3840, start: 2026-W14, due: 2026-W25}
milestones:
  q2: {product: enterprise, from: 2026-04-01, due: 2026-06-30, quantity: 40, linearity: [0.25, 0.75]}
triggers:
  - trigger: release-slips
    watch: work
    where: {work: core-release}
    when: slip_weeks >= 1
    clear: slip_weeks < 0.5
    for: 1d
    ask: {owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}
"""

HERE = "«"
"""Stands before the character at which a problem is expected."""


def changed(old: str, new: str) -> tuple[str, str]:
    """SMALL with ``new`` for ``old``, and the place that ``HERE`` in ``new`` marks, as ``small.yaml:line:column``."""
    assert SMALL.count(old) == 1, f"{old!r} is there {SMALL.count(old)} times"
    text = SMALL.replace(old, new)
    before, _, after = text.partition(HERE)
    return before + after, f"small.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def problems_in(text: str) -> list[str]:
    """The problems of ``text``, each as its place and message without the excerpt."""
    try:
        parse_plan(text, "small.yaml")
    except PlanError as error:
        return [f"{problem.place}: {problem.message}" for problem in error.problems]
    return []

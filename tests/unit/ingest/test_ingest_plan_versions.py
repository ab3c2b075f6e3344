"""Which version a plan gets."""

from datetime import UTC, datetime

import msgspec

from services.ingest.domain.plans import Draft, decide
from shared.schemas.published_plan import PublishedPlan

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def draft(content: str, plan_id: str = "fy26") -> Draft:
    return Draft(plan_id, content, msgspec.json.encode({"plan": plan_id, "content": content}), content, "ana")


def publish(*drafts: Draft) -> list[tuple[str, str]]:
    """Name and outcome of each, published one after the other as the log would have them."""
    log: dict[str, PublishedPlan] = {}
    outcomes = []
    for one in drafts:
        plan, outcome = decide(one, list(log.values()), NOW)
        if outcome != "unchanged":
            log.pop(plan.name, None)
            log[plan.name] = plan
        outcomes.append((plan.name, outcome))
    return outcomes


def test_new_content_gets_the_next_version_and_the_same_content_the_same() -> None:
    assert publish(draft("a"), draft("a"), draft("b"), draft("c")) == [
        ("fy26@1", "created"),
        ("fy26@1", "unchanged"),
        ("fy26@2", "created"),
        ("fy26@3", "created"),
    ]


def test_former_content_is_put_in_force_again_under_its_version() -> None:
    assert publish(draft("a"), draft("b"), draft("a"), draft("c")) == [
        ("fy26@1", "created"),
        ("fy26@2", "created"),
        ("fy26@1", "reinstated"),
        ("fy26@3", "created"),
    ]


def test_plans_are_counted_by_their_id() -> None:
    other = draft("x", "fy27")
    assert publish(draft("a"), other, draft("a"), draft("b")) == [
        ("fy26@1", "created"),
        ("fy27@1", "created"),
        ("fy26@1", "reinstated"),
        ("fy26@2", "created"),
    ]


def test_the_published_json_carries_the_version() -> None:
    plan, _ = decide(draft("a"), [], NOW)
    assert msgspec.json.decode(plan.plan) == {"plan": "fy26", "content": "a", "version": 1}
    assert (plan.publisher, plan.published, plan.text) == ("ana", NOW, "a")


def test_the_version_of_a_record_that_cannot_be_read_is_taken() -> None:
    """A newer process may have read it, and frames and decisions cite it."""
    published = [decide(draft("a"), [], NOW)[0]]
    assert decide(draft("b"), published, NOW, {"fy26@4", "fy27@9", "", "fy26@x"})[0].name == "fy26@5"
    assert decide(draft("a"), published, NOW, {"fy26@4"})[1] == "unchanged"

"""``/v1/subscriptions``: who is told of what, where."""

import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.notifier.api.deliveries import DeliveryOut
from services.notifier.api.shapes import Strict, Word
from services.notifier.domain.egress import Network, rule_on_url
from services.notifier.domain.routing import Filters
from services.notifier.domain.signing import SECRET_BYTES, Secret, secret_of
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.subscriptions import Subscription, Subscriptions
from shared.access import GuardedRoute, Principal, requires
from shared.clock import WallClock
from shared.problems import Problem
from shared.schemas.episode import Severity
from shared.schemas.recalibration import Kind

Read = Annotated[Principal, Depends(requires("read"))]
Admin = Annotated[Principal, Depends(requires("admin"))]
Url = Annotated[str, Field(min_length=1, max_length=2000)]


class FiltersShape(Strict):
    """What a subscription wants to hear; an empty list does not limit. ``severity`` is the mildest it wants."""

    pools: list[Word] = Field([], max_length=1000)
    triggers: list[Word] = Field([], max_length=1000)
    kinds: list[Kind] = Field([], max_length=10)
    severity: Severity = "info"

    def filters(self) -> Filters:
        """As the domain knows them."""
        return Filters(frozenset(self.pools), frozenset(self.triggers), frozenset(self.kinds), self.severity)


class NewSubscription(Strict):
    """A webhook to be called."""

    name: Word
    url: Url
    filters: FiltersShape = FiltersShape()


class Change(Strict):
    """What is to be different; what is left out stays."""

    name: Word | None = None
    url: Url | None = None
    filters: FiltersShape | None = None
    enabled: bool | None = Field(None, description="false pauses: what is pending waits; true takes up again")

    def values(self) -> dict[str, Any]:
        """What is to be set, by column."""
        plain = {"name": self.name, "url": self.url, "enabled": self.enabled}
        given = {name: value for name, value in plain.items() if value is not None}
        return given if self.filters is None else given | {"filters": self.filters.filters()}


class Rotation(Strict):
    """How long the former secrets go on signing beside the new one."""

    overlap_hours: float = Field(24, ge=0, le=24 * 30, allow_inf_nan=False)


class SubscriptionOut(BaseModel):
    """A subscription, without its secret."""

    id: uuid.UUID
    name: str
    channel: str
    url: str
    filters: FiltersShape
    enabled: bool
    disabled_reason: str | None
    created: datetime
    changed: datetime


class SubscriptionWithSecret(SubscriptionOut):
    """A subscription with its new secret, which is shown this once."""

    secret: str


class Rotated(BaseModel):
    """The new secret, shown this once, and until when the former ones also sign."""

    secret: str
    former_until: datetime


class SubscriptionList(BaseModel):
    """All subscriptions, oldest first."""

    items: list[SubscriptionOut]


def create_router(
    store: Subscriptions, deliveries: Deliveries, *, exempt: Sequence[Network], planned: Callable[[], None]
) -> APIRouter:
    """The routes; ``exempt`` networks may be subscribed although private, ``planned`` hears of test messages."""
    router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], route_class=GuardedRoute)

    @router.post("", status_code=201)
    async def subscribe(new: NewSubscription, principal: Admin) -> SubscriptionWithSecret:
        """Subscribe a webhook. The answer holds the signing secret, which is shown this once."""
        _check_url(new.url, exempt)
        secret = _fresh_secret()
        made = await store.add(new.name, new.url, new.filters.filters(), secret, principal.name)
        return SubscriptionWithSecret(**_shape(made).model_dump(), secret=secret.reveal())

    @router.get("")
    async def list_subscriptions(principal: Read) -> SubscriptionList:
        """All subscriptions, oldest first."""
        return SubscriptionList(items=[_shape(one) for one in await store.all()])

    @router.get("/{subscription_id}")
    async def get_subscription(subscription_id: uuid.UUID, principal: Read) -> SubscriptionOut:
        """One subscription."""
        return _shape(_found(await store.get(subscription_id)))

    @router.patch("/{subscription_id}")
    async def change_subscription(subscription_id: uuid.UUID, change: Change, principal: Admin) -> SubscriptionOut:
        """Change a subscription; enabling it takes up what is pending."""
        if change.url is not None:
            _check_url(change.url, exempt)
        changed = _shape(_found(await store.change(subscription_id, **change.values())))
        planned()
        return changed

    @router.delete("/{subscription_id}", status_code=204)
    async def delete_subscription(subscription_id: uuid.UUID, principal: Admin) -> None:
        """Take a subscription away. Its deliveries stay in the log; those still pending are given up."""
        if not await store.delete(subscription_id):
            raise _no_such_subscription()

    @router.post("/{subscription_id}/rotate")
    async def rotate_secret(subscription_id: uuid.UUID, principal: Admin, rotation: Rotation | None = None) -> Rotated:
        """Sign with a new secret from now on; for a while the former ones sign too."""
        secret = _fresh_secret()
        overlap = timedelta(hours=(rotation or Rotation()).overlap_hours)
        until = await store.rotate(subscription_id, secret, overlap)
        if until is None:
            raise _no_such_subscription()
        return Rotated(secret=secret.reveal(), former_until=until)

    @router.post("/{subscription_id}/test", status_code=202)
    async def test_subscription(subscription_id: uuid.UUID, principal: Admin) -> DeliveryOut:
        """Send a test message; what came of it is in the delivery."""
        subscription = _found(await store.get(subscription_id))
        if not subscription.enabled:
            raise Problem(409, "the subscription is not enabled", f"{subscription.disabled_reason}; enable it first.")
        delivery = await deliveries.plan_test(subscription_id, WallClock().now())
        planned()
        return DeliveryOut.model_validate(delivery)

    return router


def _fresh_secret() -> Secret:
    return secret_of(secrets.token_bytes(SECRET_BYTES))


def _check_url(url: str, exempt: Sequence[Network]) -> None:
    ruling = rule_on_url(url, exempt)
    if not ruling.allowed:
        raise Problem(422, "the URL cannot be called", f"{ruling.reason}.")


def _found(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise _no_such_subscription()
    return subscription


def _no_such_subscription() -> Problem:
    return Problem(404, "no such subscription", "GET /v1/subscriptions lists them.")


def _shape(one: Subscription) -> SubscriptionOut:
    wanted = FiltersShape.model_validate(one.filters.stored())
    return SubscriptionOut(
        id=one.id,
        name=one.name,
        channel=one.channel,
        url=one.url,
        filters=wanted,
        enabled=one.enabled,
        disabled_reason=one.disabled_reason,
        created=one.created,
        changed=one.changed,
    )

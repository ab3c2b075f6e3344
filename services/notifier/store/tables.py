"""The notifier's tables, as migrations 0003, 0004, 0006, 0009 and 0010 make them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData()

_MOMENT = sa.DateTime(timezone=True)


def _created() -> sa.Column[object]:
    return sa.Column("created", _MOMENT, nullable=False, server_default=sa.func.clock_timestamp())


recalibrations = sa.Table(
    "recalibrations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("transition", sa.Integer, nullable=False),
    sa.Column("asked", sa.Integer, nullable=False, comment="transition at which it last fired or reopened"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("pool", sa.Text),
    sa.Column("fired", _MOMENT, nullable=False),
    sa.Column("body", sa.Text, nullable=False, comment="the record as JSON"),
    sa.Index("recalibrations_fired", "fired", "id"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column("recalibration", sa.Text, sa.ForeignKey("recalibrations.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("key_name", sa.Text, nullable=False, comment="the API key that was used"),
    sa.Column("body", sa.Text, nullable=False, comment="the record as JSON"),
    _created(),
    sa.Index("decisions_recalibration", "recalibration", "number"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("decision", sa.Text, sa.ForeignKey("decisions.id"), nullable=False, unique=True),
    sa.Column("sent", _MOMENT),
    sa.Column("trace", sa.Text, comment="traceparent of the request that answered"),
    _created(),
    sa.Index("outbox_unsent", "id", postgresql_where=sa.text("sent IS NULL")),
)

feed = sa.Table(
    "feed",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("event", sa.Text, nullable=False, unique=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False, comment="one line of JSON"),
    _created(),
)

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("filters", JSONB, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("key_name", sa.Text, nullable=False, comment="the API key that made it"),
    sa.Column("changed", _MOMENT, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("deleted", _MOMENT),
    _created(),
)

secrets = sa.Table(
    "subscription_secrets",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("expires", _MOMENT),
    _created(),
    sa.Index("secrets_subscription", "subscription"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
    sa.Column("event", sa.Text, nullable=False, comment="webhook-id: what the receiver drops duplicates by"),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("recalibration", sa.Text),
    sa.Column("told", ARRAY(sa.Text), comment="the recalibrations that a grouped message tells of"),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("recorded", _MOMENT, nullable=False, comment="wall time of the record on the log"),
    sa.Column("trace", sa.Text, comment="traceparent of the change that brought it about"),
    sa.Column("arrived", sa.BigInteger, comment="wall time (ms) at which the door took that change in"),
    sa.Column("happened", sa.BigInteger, comment="the source's own time (ms, system's clock) of that change"),
    sa.Column("state", sa.Text, nullable=False, comment="pending, delivered, given-up"),
    sa.Column(
        "attempts", sa.Integer, nullable=False, server_default="0", comment="of this round; a replay begins anew"
    ),
    sa.Column("due", _MOMENT, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("leased_by", sa.Uuid),
    sa.Column("leased_until", _MOMENT),
    sa.Column("status", sa.Integer, comment="of the last answer"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why it stands as it does"),
    sa.Column("ended", _MOMENT),
    _created(),
    sa.UniqueConstraint("subscription", "event", name="deliveries_once"),
    sa.Index("deliveries_due", "subscription", "due", postgresql_where=sa.text("state = 'pending'")),
    sa.Index("deliveries_pending", "created", postgresql_where=sa.text("state = 'pending'")),
    sa.Index("deliveries_leases", "leased_by", postgresql_where=sa.text("leased_by IS NOT NULL")),
    sa.Index("deliveries_recalibration", "recalibration"),
    sa.Index("deliveries_told", "told", postgresql_using="gin", postgresql_where=sa.text("told IS NOT NULL")),
)

grouped = sa.Table(
    "grouped",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False, comment="what the message will say of it, as JSON"),
    _created(),
    sa.UniqueConstraint("subscription", "event", name="grouped_once"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("delivery", sa.BigInteger, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", _MOMENT, nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("outcome", sa.Text, nullable=False, comment="delivered, again, given-up, gone, lost"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("answer", sa.Text, nullable=False, comment="the first bytes of the answer"),
    sa.Index("attempts_delivery", "delivery"),
)

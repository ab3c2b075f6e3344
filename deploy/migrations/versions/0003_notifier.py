"""The notifier's tables: recalibrations and answers, outbox and feed, subscriptions and deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)


def number(name: str = "id") -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, sa.Identity(always=True), nullable=False)


def created(name: str = "created") -> sa.Column[object]:
    return sa.Column(name, MOMENT, nullable=False, server_default=sa.func.clock_timestamp())


def upgrade() -> None:
    answers()
    subscriptions()
    deliveries()


def answers() -> None:
    op.create_table(
        "recalibrations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("transition", sa.Integer, nullable=False),
        sa.Column("asked", sa.Integer, nullable=False, comment="transition at which it last fired or reopened"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("pool", sa.Text, nullable=True),
        sa.Column("fired", MOMENT, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="the record as JSON"),
    )
    op.create_index("recalibrations_fired", "recalibrations", ["fired", "id"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.Text, primary_key=True),
        number("number"),
        sa.Column("recalibration", sa.Text, sa.ForeignKey("recalibrations.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("key_name", sa.Text, nullable=False, comment="the API key that was used"),
        sa.Column("body", sa.Text, nullable=False, comment="the record as JSON"),
        created(),
        sa.UniqueConstraint("number"),
    )
    op.create_index("decisions_recalibration", "decisions", ["recalibration", "number"])
    op.create_table(
        "outbox",
        number(),
        sa.Column("decision", sa.Text, sa.ForeignKey("decisions.id"), nullable=False),
        sa.Column("sent", MOMENT, nullable=True),
        created(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("decision"),
    )
    op.create_index("outbox_unsent", "outbox", ["id"], postgresql_where=sa.text("sent IS NULL"))
    op.create_table(
        "feed",
        number(),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False, comment="one line of JSON"),
        created(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event"),
    )


def subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("filters", JSONB, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text, nullable=True),
        sa.Column("key_name", sa.Text, nullable=False, comment="the API key that made it"),
        created("changed"),
        sa.Column("deleted", MOMENT, nullable=True),
        created(),
    )
    op.create_table(
        "subscription_secrets",
        number(),
        sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("expires", MOMENT, nullable=True),
        created(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("secrets_subscription", "subscription_secrets", ["subscription"])


def deliveries() -> None:
    op.create_table(
        "deliveries",
        number(),
        sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
        sa.Column("event", sa.Text, nullable=False, comment="webhook-id: what the receiver drops duplicates by"),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("recalibration", sa.Text, nullable=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("recorded", MOMENT, nullable=False, comment="wall time of the record on the log"),
        sa.Column("state", sa.Text, nullable=False, comment="pending, delivered, given-up"),
        sa.Column(
            "attempts", sa.Integer, nullable=False, server_default="0", comment="of this round; a replay begins anew"
        ),
        created("due"),
        sa.Column("leased_by", sa.Uuid, nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("status", sa.Integer, nullable=True, comment="of the last answer"),
        sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why it stands as it does"),
        sa.Column("ended", MOMENT, nullable=True),
        created(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subscription", "event", name="deliveries_once"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index("deliveries_due", "deliveries", ["subscription", "due"], postgresql_where=pending)
    op.create_index("deliveries_pending", "deliveries", ["created"], postgresql_where=pending)
    op.create_index("deliveries_leases", "deliveries", ["leased_by"], postgresql_where=sa.text("leased_by IS NOT NULL"))
    op.create_index("deliveries_recalibration", "deliveries", ["recalibration"])
    op.create_table(
        "attempts",
        number(),
        sa.Column("delivery", sa.BigInteger, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("outcome", sa.Text, nullable=False, comment="delivered, again, given-up, gone, lost"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False, comment="the first bytes of the answer"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("attempts_delivery", "attempts", ["delivery"])


def downgrade() -> None:
    for table in (
        "attempts",
        "deliveries",
        "subscription_secrets",
        "subscriptions",
        "feed",
        "outbox",
        "decisions",
        "recalibrations",
    ):
        op.drop_table(table)

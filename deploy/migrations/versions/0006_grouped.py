"""Transitions beyond their owners' alert budget, waiting to be told together."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "grouped",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("subscription", sa.Uuid, sa.ForeignKey("subscriptions.id"), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False, comment="what the message will say of it, as JSON"),
        sa.Column("created", MOMENT, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subscription", "event", name="grouped_once"),
    )


def downgrade() -> None:
    op.drop_table("grouped")

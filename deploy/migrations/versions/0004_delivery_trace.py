"""What a delivery carries on of the change that brought it about: its trace, and when the door took it in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column("trace", sa.Text, nullable=True, comment="traceparent of the change that brought it about"),
    )
    op.add_column(
        "deliveries",
        sa.Column(
            "arrived", sa.BigInteger, nullable=True, comment="wall time (ms) at which the door took that change in"
        ),
    )


def downgrade() -> None:
    op.drop_column("deliveries", "arrived")
    op.drop_column("deliveries", "trace")

"""The trace of the request that a decision came with, on its way to the log."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "outbox", sa.Column("trace", sa.Text, nullable=True, comment="traceparent of the request that answered")
    )


def downgrade() -> None:
    op.drop_column("outbox", "trace")

"""The read model of forecasts: what each quarter brings, of everything and by segment."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "forecasts",
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("segment", sa.Text, primary_key=True, comment="* for everything"),
        sa.Column("data", postgresql.JSONB, nullable=False, comment="the forecast as frames.v1 has it"),
    )


def downgrade() -> None:
    op.drop_table("forecasts")

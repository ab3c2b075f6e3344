"""How many deals are listed by reason: more than the list names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "projection",
        sa.Column(
            "listed_counts", postgresql.JSONB, nullable=True, comment="deals and their value, as frames.v1 has it"
        ),
    )


def downgrade() -> None:
    op.drop_column("projection", "listed_counts")

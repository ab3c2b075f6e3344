"""Read models of deals and positions: written by the views process alone, and made again from the log at any time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("pool", sa.Text, primary_key=True),
        sa.Column("week", sa.Text, primary_key=True),
        sa.Column("overload", sa.Float, nullable=False),
        sa.Column("data", postgresql.JSONB, nullable=False, comment="the position as frames.v1 has it"),
    )
    # Which positions does a deal stress: one look instead of a row for each of a position's deals.
    op.execute("CREATE INDEX positions_top ON positions USING gin ((data -> 'top') jsonb_path_ops)")
    op.create_table(
        "work_states",
        sa.Column("work", sa.Text, primary_key=True),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("data", postgresql.JSONB, nullable=False, comment="the work item as frames.v1 has it"),
    )
    op.create_table(
        "listed_deals",
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("deal", sa.Text, primary_key=True),
        sa.Column("exposure", sa.Float, nullable=False),
    )
    op.create_index("listed_deals_deal", "listed_deals", ["deal"])
    op.create_table(
        "projection",
        sa.Column("only", sa.Boolean, sa.CheckConstraint('"only"'), primary_key=True, server_default=sa.true()),
        sa.Column("frame", sa.BigInteger, nullable=False, comment="offset of the frame the tables show"),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("week", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("book_time", sa.BigInteger, nullable=False, comment="newest source time of a deal in it, in ms"),
        sa.Column("report_ages", postgresql.JSONB, nullable=False, comment="seconds since each pool's last report"),
    )
    op.create_table(
        "deals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("data", postgresql.JSONB, nullable=False, comment="the deal as deals.v1 has it"),
    )
    op.create_table(
        "views_offsets",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False, comment="everything below it is in the tables"),
    )


def downgrade() -> None:
    for table in ("views_offsets", "deals", "projection", "listed_deals", "work_states", "positions"):
        op.drop_table(table)

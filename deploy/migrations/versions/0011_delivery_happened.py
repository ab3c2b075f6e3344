"""When what brought a delivery about happened, by its source; nobody knows it of those that were planned before."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    comment = "the source's own time (ms, system's clock) of that change"
    # Nullable and without a default: no row is written anew, and the lock is over at once.
    op.add_column("deliveries", sa.Column("happened", sa.BigInteger, nullable=True, comment=comment))


def downgrade() -> None:
    op.drop_column("deliveries", "happened")

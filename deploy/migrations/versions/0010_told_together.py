"""Which recalibrations a grouped message tells of, so that it is found by any of them."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    comment = "the recalibrations that a grouped message tells of"
    op.add_column("deliveries", sa.Column("told", ARRAY(sa.Text), nullable=True, comment=comment))
    _fill()
    there = sa.text("told IS NOT NULL")
    op.create_index("deliveries_told", "deliveries", ["told"], postgresql_using="gin", postgresql_where=there)


def downgrade() -> None:
    op.drop_index("deliveries_told", "deliveries")
    op.drop_column("deliveries", "told")


def _fill() -> None:
    """Of messages that were made before; their bodies are JSON that PostgreSQL may be unable to read (``\\u0000``)."""
    connection = op.get_bind()
    grouped = sa.text("SELECT id FROM deliveries WHERE type = 'recalibration.grouped'")
    for key in connection.execute(grouped).scalars().all():
        body = connection.execute(sa.text("SELECT body FROM deliveries WHERE id = :id"), {"id": key}).scalar_one()
        told = sorted({one["id"] for one in json.loads(body)["data"]["recalibrations"]})
        said = sa.text("UPDATE deliveries SET told = :told WHERE id = :id")
        connection.execute(said.bindparams(sa.bindparam("told", told, ARRAY(sa.Text)), id=key))

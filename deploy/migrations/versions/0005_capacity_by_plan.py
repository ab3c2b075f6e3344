"""In the read model of positions capacity by the plan is called that; ``planned`` is demand not yet in the pipeline."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        UPDATE positions SET data = (data - 'planned') || jsonb_build_object('by_plan', data -> 'planned')
        WHERE data ? 'planned' AND NOT data ? 'by_plan'""")


def downgrade() -> None:
    op.execute("""
        UPDATE positions
        SET data = (data - 'by_plan' - 'overload_planned') || jsonb_build_object('planned', data -> 'by_plan')
        WHERE data ? 'by_plan'""")

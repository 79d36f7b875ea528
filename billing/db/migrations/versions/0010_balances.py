"""What addresses held when they were looked at: read near the head, counted once the block is final."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Where GPUs were, dated. What was known of each GPU is its first place."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

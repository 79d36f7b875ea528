"""Closed months freeze what was charged for their usage; charges are found by their month."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

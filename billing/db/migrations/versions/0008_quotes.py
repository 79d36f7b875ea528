"""Rates of payments: since when, and what they make beyond par."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

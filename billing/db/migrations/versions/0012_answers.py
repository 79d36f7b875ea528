"""Kept answers are found by age, to be forgotten."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Quotes: rates of feeds that payers were promised for a while."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Months whose books are closed: nothing is booked into them any more."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Deposit addresses, and tenants that pay before they use."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Billing cycles of tenants, and invoices within a period."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

"""Gap terms of tenants, bridged usage, maintenance windows, disputes, and what tells which time to derive or to rate again."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

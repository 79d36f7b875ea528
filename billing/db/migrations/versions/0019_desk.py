"""What persons decide about money: assignments, write-offs, refunds and payees."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

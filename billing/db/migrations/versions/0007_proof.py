"""The audit lane: how far each chain was read a second time, and what the second reading doubts."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

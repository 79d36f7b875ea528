"""Conservation, stored by day and GPU."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

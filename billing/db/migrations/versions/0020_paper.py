"""What is on the paper: taxes, purchase orders, credit notes in part."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

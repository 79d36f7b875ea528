"""Links and sessions that open the pages, contacts, and keys of owners."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

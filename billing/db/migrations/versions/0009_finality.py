"""How far transfers count and are final, and since when; rewinds that a person asked for."""

from pathlib import Path

from alembic import op

from billing.db.engine import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())

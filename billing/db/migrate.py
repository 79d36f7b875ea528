"""Bring a database to the newest version. Migrations are Alembic's; the first one is a frozen SQL file."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from billing.db.engine import Database

_ADVISORY = 0x57AB1E


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest() -> str:
    """The version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current(database: Database) -> str | None:
    """The version that the database has; None when it is empty."""
    with database.connection() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Run what is missing, in one transaction. Two at once: the second waits and finds nothing to do."""
    with database.connection(begin=True) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

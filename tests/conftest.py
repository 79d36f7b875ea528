"""Real parts for tests: one PostgreSQL a session, one fresh database a test."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url

from billing.db import embedded, migrate
from billing.db.engine import Database

settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # no test asserts a time
settings.load_profile("house")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A short path: a PostgreSQL socket lives under it."""
    with tempfile.TemporaryDirectory(prefix="sm-", ignore_cleanup_errors=True) as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[str]:
    """The URL of a server whose database `template` has the newest schema."""
    url = embedded.start(scratch / "pg")
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(
                f"ALTER SYSTEM SET {setting} = off"
            )  # speed: a test database need not survive a power cut
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE stablemeter_template")
    template = Database(_named(url, "stablemeter_template"))
    migrate.upgrade(template)
    template.close()
    yield url


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stablemeter_template")
    yield _named(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)

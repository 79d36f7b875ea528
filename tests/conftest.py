"""Real parts for tests: one PostgreSQL a session, one fresh database a test."""

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import LRUCache

from billing.db import embedded, engine, migrate
from billing.db.engine import Database

settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # no test asserts a time
settings.load_profile("house")
_numbers = itertools.count(1)
MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 4 * 2**30
"""A server of tests writes a log of up to one GiB; a few of them run at once."""


def pytest_collection_finish() -> None:
    """What was imported by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def statements_are_compiled_once() -> Iterator[None]:
    """Each test has an engine of its own, for a database of its own; what their statements compile to is the same."""
    compiled: LRUCache[object, object] = LRUCache(5000)

    def sharing(*arguments: Any, **options: Any) -> Engine:
        return create_engine(*arguments, execution_options={"compiled_cache": compiled}, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PGDialect_psycopg, "__eq__", lambda one, other: type(one) is type(other))
        patched.setattr(PGDialect_psycopg, "__hash__", lambda one: hash(type(one)))
        patched.setattr(engine, "create_engine", sharing)
        yield


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A short path: a PostgreSQL socket lives under it. In memory, where the machine lends enough."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="sm-", dir=MEMORY if roomy else None, ignore_cleanup_errors=True) as path:
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
    with psycopg.connect(
        postgres, autocommit=True
    ) as connection:  # copied as files: a fifth of the work of logging every page
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stablemeter_template STRATEGY FILE_COPY")
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

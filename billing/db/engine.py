"""Connections: one engine a process, short transactions, UTC, no surprises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from psycopg import Error as DriverError
from psycopg import errors as pg
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from billing.core.errors import Conflict, Invalid, Unavailable

__all__ = ["Database", "Session", "raw_cursor", "run_script"]

_KEEPALIVE: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "connect_timeout": 10,
}


class Database:
    """A PostgreSQL database. One a process; safe to share between threads."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        """Nothing is opened yet. Raises Invalid for a URL of another kind."""
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise Invalid("database.url is not a URL", remedy="write postgresql://user@host/name") from None
        if parsed.get_backend_name() not in ("postgresql", "postgres"):
            raise Invalid(f"database.url names {parsed.get_backend_name()}", remedy="Stablemeter needs postgresql://")
        self.url = url
        self.engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            use_native_hstore=False,  # no column is one: nothing to look up when the first connection opens
            connect_args={**_KEEPALIVE, "options": "-c timezone=UTC", "application_name": "stablemeter"},
        )

    @contextmanager
    def transaction(self, *, trial: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end (a `trial` is not), rolled back by any error.

        Raises Unavailable when the database cannot be reached, Conflict when one of its constraints refuses the change.
        """
        session = Session(self.engine, expire_on_commit=False)
        try:
            with session.begin() as begun:
                yield session
                if trial:
                    begun.rollback()
        except (DBAPIError, DriverError, PoolTimeout) as error:
            raise _translated(error) from error
        finally:
            session.close()

    @contextmanager
    def connection(self, *, begin: bool = False) -> Iterator[Connection]:
        """A plain connection, for schema work; with `begin`, one transaction. Raises Unavailable like `transaction`."""
        try:
            with self.engine.begin() if begin else self.engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            raise _translated(error) from error

    def close(self) -> None:
        self.engine.dispose()


def _translated(error: DBAPIError | DriverError | PoolTimeout) -> Exception:
    """COPY speaks to the driver itself, so its errors come without SQLAlchemy's wrapping."""
    if isinstance(error, PoolTimeout):
        return Unavailable("no database connection came free in time")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, pg.ExclusionViolation | pg.UniqueViolation | pg.RestrictViolation):
        name = cause.diag.constraint_name or cause.diag.message_primary or "a constraint"
        return Conflict(f"the database refused the change: {name}")
    if isinstance(cause, pg.SerializationFailure | pg.DeadlockDetected | pg.LockNotAvailable):
        return Unavailable("the database asked to try again")
    if isinstance(error, OperationalError) or isinstance(cause, pg.OperationalError):
        return Unavailable("the database cannot be reached", remedy="check database.url and that PostgreSQL runs")
    return error


def raw_cursor(session: Session) -> Any:
    """The psycopg cursor under a session, for COPY."""
    return session.connection().connection.cursor()


def run_script(connection: Connection, script: str) -> None:
    """Run SQL text as it stands, several statements at once, on the connection's own transaction."""
    cursor = connection.connection.cursor()
    cursor.execute(script)
    cursor.close()

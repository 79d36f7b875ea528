"""One holder a role: a PostgreSQL advisory lock on a connection of its own, and a fencing epoch.

A holder that was cut off and comes back finds another epoch in its next transaction and stops before it writes.
"""

import zlib
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from billing.core.errors import Conflict, Unavailable
from billing.db.engine import Database


class Role:
    """A role that this process may hold."""

    def __init__(self, database: Database, name: str, holder: str) -> None:
        self._engine, self.name, self._holder = database.engine, name, holder
        self._connection: Connection | None = None
        self.epoch = 0

    @property
    def _key(self) -> int:
        return zlib.crc32(f"stablemeter:{self.name}".encode())

    def acquire(self, now: datetime) -> bool:
        """Try to take the role. True when it is held (also when it was held already). Never waits."""
        if self._connection is not None:
            return True
        connection: Connection | None = None
        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar_one():
                connection.close()
                return False
            self.epoch = connection.execute(
                text(
                    "INSERT INTO role (name, epoch, holder, taken_at) VALUES (:name, 1, :holder, :now)"
                    " ON CONFLICT (name) DO UPDATE SET epoch = role.epoch + 1, holder = :holder, taken_at = :now"
                    " RETURNING epoch"
                ),
                {"name": self.name, "holder": self._holder, "now": now},
            ).scalar_one()
        except DBAPIError as error:
            if connection is not None:  # it may hold the lock: back in the pool it would keep everybody out
                connection.invalidate()
                connection.close()
            raise Unavailable(f"cannot take the role {self.name}: the database does not answer") from error
        self._connection = connection
        return True

    def check(self, session: Session) -> None:
        """Called in every tick's transaction. Raises Conflict when somebody else has taken the role since."""
        epoch = session.execute(
            text("SELECT epoch FROM role WHERE name = :name FOR SHARE"), {"name": self.name}
        ).scalar_one_or_none()
        if self._connection is None or epoch != self.epoch:
            self.release()
            raise Conflict(f"the role {self.name} was taken over by another process")

    def release(self) -> None:
        """Give the role back. Closing the connection drops the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

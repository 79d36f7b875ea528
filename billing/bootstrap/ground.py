"""What every part stands on: settings, clock, fences, database."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.db import embedded, migrate
from billing.db.engine import Database, Session
from billing.settings import Settings

Fence = Callable[[Session], None]


def unfenced(session: Session) -> None:
    """A command that a person runs holds no role: database locks keep it apart from the daemon."""


@dataclass(frozen=True, slots=True)
class Fences:
    """What is checked in every writing transaction of a role."""

    collector: Fence = unfenced
    invoicer: Fence = unfenced
    watcher: Fence = unfenced


UNFENCED: Final = Fences()


class Ground:
    """Closes what was opened, the newest first."""

    def __init__(self, settings: Settings, clock: Clock, fences: Fences = UNFENCED) -> None:
        self.settings, self.clock, self._fences = settings, clock, fences
        self._closing: list[Callable[[], None]] = []

    @cached_property
    def database(self) -> Database:
        url = self.settings.database.url.get_secret_value()
        database = Database(url or embedded.start(self.settings.data_dir), pool_size=10)
        self._closing.append(database.close)
        return database

    def require_current_schema(self) -> None:
        """Raises Invalid when migrations are due: a command must not guess at another schema."""
        found, wanted = migrate.current(self.database), migrate.newest()
        if found != wanted:
            raise Invalid(
                f"the database has schema {found or 'none'}, this version needs {wanted}",
                remedy="stablemeter db upgrade",
            )

    def close(self) -> None:
        """Close connections. Safe to call twice."""
        while self._closing:
            self._closing.pop()()

"""Stores where every GPU's time went, day by day, and again when a day changes."""

from collections.abc import Callable

from billing.core.clock import Clock
from billing.db.engine import Database, Session
from billing.metering.reporter import MeterReporter
from billing.metering.store import days


class Conserver:
    def __init__(self, database: Database, clock: Clock, fence: Callable[[Session], None]) -> None:
        """`fence` is called in every transaction and raises when this process may not do this any more."""
        self._database, self._clock, self._fence = database, clock, fence

    def tick(self) -> bool:
        """Store one day that is due. Returns whether there was one."""
        with self._database.transaction() as session:
            self._fence(session)
            found = days.due(session, self._clock.now(), 1)
            if found:
                days.save(session, found[0], MeterReporter.accounts(session, found[0].span))
        return bool(found)

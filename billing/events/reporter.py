"""Answers what operators ask of pushed events: what counts, and what nobody is billed for yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from billing.db.engine import Database
from billing.events import store
from billing.events.meter import Meter

LOOK_BACK: Final = timedelta(days=31)


class EventReporter:
    def __init__(self, database: Database, meters: Sequence[Meter]) -> None:
        self._database, self._meters = database, meters

    def status(self, now: datetime) -> dict[str, Any]:
        """Every meter with its events of 31 days; types without a meter; subjects without a tenant."""
        since = now - LOOK_BACK
        with self._database.transaction() as session:
            return {
                "meters": store.counted(session, self._meters, since),
                "unknown_types": store.unknown_types(session, self._meters, since),
                "unknown_subjects": store.unknown_subjects(session, since),
            }

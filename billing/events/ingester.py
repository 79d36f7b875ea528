"""Takes a batch of events in: whole, once, and on disk before the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.garbage import uncollected
from billing.core.period import Span, month_of
from billing.db import changes
from billing.db.engine import Database
from billing.events import store
from billing.events.event import Batch, Form, decode
from billing.events.meter import Meter
from billing.telemetry import metrics


class EventConflict(Conflict):
    """Events whose (source, id) is taken by another payload. `keys` names them all."""

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        self.keys = keys
        named = ", ".join(f"{event_id} of {source}" for source, event_id in keys[:3])
        super().__init__(
            f"{len(keys)} events have the id of an event with another payload: {named}; nothing was stored",
            remedy="an event never changes: send a correction under an id of its own",
        )


@dataclass(frozen=True, slots=True)
class Ingested:
    """`duplicates` were there already, or twice in the batch, with the same payload."""

    accepted: int
    duplicates: int


class Ingester:
    def __init__(self, database: Database, clock: Clock, meters: Sequence[Meter]) -> None:
        """`meters` are the declared ones. Events of other types are kept all the same."""
        self._database, self._clock = database, clock
        self._meters: dict[str, list[Meter]] = {}
        for meter in meters:
            self._meters.setdefault(meter.event_type, []).append(meter)

    def ingest(self, body: bytes, form: Form) -> Ingested:
        """Store a body's events: all of them, or none.

        Raises Invalid for what is malformed, or has no value for a meter of its type: it would never be billed. Raises
        EventConflict for a known (source, id) with another payload.
        """
        now = self._clock.now()
        with uncollected():
            batch = decode(body, form, now)
            self._require_values(batch)
        if not batch.events:
            return Ingested(0, 0)
        with self._database.transaction() as session:
            accepted = store.add(session, batch, now)
            if accepted < len(batch.events):
                self._require_same(store.differing(session, batch, now))
            late = [one.time for one in batch.events if one.time and one.time < month_of(now).start]
            if accepted and late:
                changes.note(session, Span(min(late), month_of(now).start).seconds, now)
            strangers = store.strangers(session, {one.subject for one in batch.events})
        duplicates = len(batch.events) - accepted
        metrics.EVENTS.labels("accepted").inc(accepted)
        metrics.EVENTS.labels("duplicate").inc(duplicates)
        self._count_unknown(batch, strangers)
        return Ingested(accepted, duplicates)

    @staticmethod
    def _require_same(conflicts: list[tuple[str, str]]) -> None:
        if conflicts:
            metrics.EVENTS.labels("conflict").inc(len(conflicts))
            raise EventConflict(conflicts)

    def _require_values(self, batch: Batch) -> None:
        for number, one in enumerate(batch.events, 1):
            for meter in self._meters.get(one.type, ()):
                try:
                    meter.value_of(one.data)
                except Invalid as error:
                    raise Invalid(f"event {number}: {error.what}", remedy=error.remedy) from None

    def _count_unknown(self, batch: Batch, strangers: set[str]) -> None:
        types = sum(one.type not in self._meters for one in batch.events)
        subjects = sum(one.subject in strangers for one in batch.events) if strangers else 0
        metrics.EVENTS_UNKNOWN.labels("type").inc(types)
        metrics.EVENTS_UNKNOWN.labels("subject").inc(subjects)

"""Reads due windows of all sources, stores what they saw, and derives usage. Killed at any line, it loses nothing:
a window counts as read in the same transaction that stores what was seen in it."""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid, NotFound, Unavailable, Untrusted
from billing.core.period import HOUR, Seconds, Span, at_second, clip, epoch_seconds, merge, windows
from billing.db.engine import Database, Session
from billing.leasing import store as leasing
from billing.metering.deriver import SourceTerms, rederive
from billing.metering.reading import REREADS, Reading, Source
from billing.metering.recorder import Batch, record
from billing.metering.store import decisions, readings
from billing.metering.usage import ExclusionRule
from billing.tenants import store as tenants

WINDOW: Final = HOUR
TICK: Final = 24
"""Windows a source in one tick: a day of a backfill."""
WINDOWS_MAX: Final = 240
DEVICES_MAX: Final = 60_000
"""A batch is stored when it holds so many windows, or so many devices in all windows: memory is bounded, a small fleet
pays for few transactions, and of a large one a batch is stored while the next one is fetched."""
AHEAD: Final = 4
"""Windows that are fetched ahead while a batch is stored."""

Progress = Callable[[str, Seconds], None]


@dataclass(frozen=True, slots=True)
class Feed:
    """A configured source, and how its word is taken. Windows are due from `since` on (left out: from first sight)."""

    source: Source
    kind: str
    rule: ExclusionRule
    since: datetime | None = None


@dataclass(slots=True)
class Outcome:
    """What a collection did."""

    windows: int = 0
    unchanged: int = 0
    samples: int = 0
    failures: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.windows + other.windows,
            self.unchanged + other.unchanged,
            self.samples + other.samples,
            self.failures + other.failures,
        )


class Collector:
    def __init__(
        self, database: Database, clock: Clock, feeds: Sequence[Feed], fence: Callable[[Session], None]
    ) -> None:
        """`fence` is called in every transaction and raises when this process may not collect any more."""
        self._database, self._clock, self._fence = database, clock, fence
        self._feeds: Mapping[str, Feed] = {feed.source.name: feed for feed in feeds}

    def tick(self, limit: int = TICK, progress: Progress | None = None) -> Outcome:
        """One bounded round: changes of leases and labels, then every source's due windows (at most `limit` each).

        A source that cannot be read is noted and tried again at the next tick; it holds up nobody else.
        """
        outcome = Outcome()
        self.apply_changes()
        for feed in self._feeds.values():
            try:
                self._collect(feed, self.due(feed.source.name, limit), outcome, progress)
            except (Conflict, Unavailable, Untrusted) as error:
                outcome.failures += 1
                with self._database.transaction() as session:
                    self._fence(session)
                    terms = self._terms(session, feed)
                    readings.note_failure(session, terms.id, str(error), self._clock.now())
        return outcome

    def collect(self, span: Span, names: Sequence[str] = (), progress: Progress | None = None) -> Outcome:
        """Read every window of a span by hand, also those read before. Raises what the source raises.

        The span is widened to whole hours. Raises Invalid when it is not over yet, NotFound for an unknown source.
        """
        unknown = set(names) - set(self._feeds)
        if unknown:
            raise NotFound(
                f"no source is called {', '.join(sorted(unknown))}", remedy="see metering.sources in the settings"
            )
        start, end = span.seconds
        wide = (start // WINDOW * WINDOW, -(-end // WINDOW) * WINDOW)
        outcome = Outcome()
        for feed in self._feeds.values():
            if names and feed.source.name not in names:
                continue
            if wide[1] > self._ripe(feed):
                raise Invalid(
                    f"{at_second(wide[1]).isoformat()} is too young for {feed.source.name}",
                    remedy=f"its newest whole window ends at {at_second(self._ripe(feed)).isoformat()}",
                )
            self._collect(feed, list(windows(wide, WINDOW)), outcome, progress)
        return outcome

    def due(self, name: str, limit: int) -> list[Seconds]:
        """A source's windows that are due: never read ones first, then re-reads. Oldest first."""
        feed, now = self._feeds[name], self._clock.now()
        with self._database.transaction() as session:
            source_id = self._terms(session, feed).id
            since = epoch_seconds(readings.since(session, source_id)) // WINDOW * WINDOW
            ripe = self._ripe(feed)
            due: list[Seconds] = []
            if since < ripe:
                for gap in merge(readings.unread(session, source_id, (since, ripe))):
                    due += windows(gap, WINDOW)
            if len(due) < limit:
                due += readings.due_rereads(session, source_id, now, REREADS, limit - len(due))
        return due[:limit]

    def apply_changes(self, since: datetime | None = None) -> int:
        """Derive usage again where a lease or a label changed, or from a time on. Returns how many devices changed."""
        now, changed = self._clock.now(), 0
        with self._database.transaction() as session:
            self._fence(session)
            readings.lock(session)
            leases, claims = leasing.underived(session), tenants.underived_claims(session)
            gaps, decided = tenants.underived_gaps(session), decisions.underived(session)
            spans = [span for _, span in (*leases, *claims, *gaps, *decided)]
            if since is not None and since < now:
                spans.append(Span(since, now))
            if not spans:
                return 0
            readings.forget_before_sight(session, [lease for lease, _ in leases], now)
            first, last = min(span.start for span in spans), max(span.end for span in spans)
            for feed in self._feeds.values():
                self._terms(session, feed)
            for name, (source_id, _) in readings.sources(session).items():  # also those that are configured no more
                terms = SourceTerms(source_id, name)
                read = readings.read_windows(session, terms.id, Span(min(first, now), max(now, first)))
                for window in merge(read):
                    if span := clip(window, Span(first, last).seconds):
                        changed += rederive(session, terms, span, now)
            leasing.mark_derived(session, leases)
            tenants.mark_claims_derived(session, [claim for claim, _ in claims], now)
            tenants.mark_gaps_derived(session, [gap for gap, _ in gaps], now)
            decisions.mark_derived(session, [one for one, _ in decided], now)
        return changed

    def _collect(self, feed: Feed, wanted: Sequence[Seconds], outcome: Outcome, progress: Progress | None) -> None:
        batch = Batch(feed.source.cadence)
        try:
            with closing(_read_ahead(feed.source, wanted)) as ahead:
                for reading in ahead:
                    batch.add(reading)
                    outcome.windows += 1
                    outcome.samples += reading.samples
                    if progress is not None:
                        progress(feed.source.name, reading.window)
                    if batch.weight >= DEVICES_MAX or len(batch.readings) >= WINDOWS_MAX:
                        full, batch = batch, Batch(feed.source.cadence)
                        self._record(feed, full, outcome)
        finally:  # what was read before a failure is kept
            self._record(feed, batch, outcome)

    def _record(self, feed: Feed, batch: Batch, outcome: Outcome) -> None:
        if batch.readings:
            with self._database.transaction() as session:
                self._fence(session)
                readings.lock(session)
                outcome.unchanged += record(session, self._terms(session, feed), batch, self._clock.now())

    def _terms(self, session: Session, feed: Feed) -> SourceTerms:
        since = feed.since or at_second(epoch_seconds(self._clock.now()) // WINDOW * WINDOW)
        return SourceTerms(readings.source(session, feed.source.name, feed.kind, since, feed.rule), feed.source.name)

    def _ripe(self, feed: Feed) -> int:
        """The end of the newest window whose last samples must have arrived."""
        settled = (
            epoch_seconds(self._clock.now()) - feed.source.lag_seconds - -(-feed.source.cadence.max_gap_ms // 1000)
        )
        return settled // WINDOW * WINDOW


def _read_ahead(source: Source, wanted: Sequence[Seconds]) -> Generator[Reading, None, None]:
    """Readings in order; the next ones are fetched while this one is worked on."""
    left, ahead = iter(wanted), deque[Future[Reading]]()
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        while True:
            while len(ahead) < AHEAD and (window := next(left, None)) is not None:
                ahead.append(pool.submit(source.read, window))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

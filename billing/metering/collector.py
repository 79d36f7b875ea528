"""Reads due windows of all sources, stores what they saw, and derives usage. Killed at any line, it loses nothing:
a window counts as read in the same transaction that stores what was seen in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Invalid, NotFound, Unavailable, Untrusted
from billing.core.period import HOUR, Seconds, Span, at_second, clip, epoch_seconds, merge, windows
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.fleet.gpu import DeviceKey
from billing.leasing import store as leasing
from billing.metering import coverage
from billing.metering.coverage import Segment, State
from billing.metering.deriver import SourceTerms, by_gpu, rederive
from billing.metering.reading import Reading, Source, digest
from billing.metering.store import readings, runs
from billing.metering.store.readings import Read
from billing.metering.usage import ExclusionRule
from billing.tenants import store as tenants

WINDOW: Final = HOUR
BATCH: Final = 24
"""Windows stored in one transaction: a day of a backfill."""
REREADS: Final = (HOUR, 6 * HOUR, 24 * HOUR)

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


class Collector:
    def __init__(
        self, database: Database, clock: Clock, feeds: Sequence[Feed], fence: Callable[[Session], None]
    ) -> None:
        """`fence` is called in every transaction and raises when this process may not collect any more."""
        self._database, self._clock, self._fence = database, clock, fence
        self._feeds: Mapping[str, Feed] = {feed.source.name: feed for feed in feeds}

    def tick(self, limit: int = BATCH, progress: Progress | None = None) -> Outcome:
        """One bounded round: changes of leases and labels, then every source's due windows (at most `limit` each).

        A source that cannot be read is noted and tried again at the next tick; it holds up nobody else.
        """
        outcome = Outcome()
        self.apply_changes()
        for feed in self._feeds.values():
            try:
                self._collect(feed, self.due(feed.source.name, limit), outcome, progress)
            except (Unavailable, Untrusted) as error:
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
            wanted = list(windows(wide, WINDOW))
            for at in range(0, len(wanted), BATCH):
                self._collect(feed, wanted[at : at + BATCH], outcome, progress)
        return outcome

    def due(self, name: str, limit: int) -> list[Seconds]:
        """A source's windows that are due: never read ones first, then re-reads. Oldest first."""
        feed, now = self._feeds[name], self._clock.now()
        with self._database.transaction() as session:
            row = readings.source(
                session, name, feed.kind, feed.since or at_second(epoch_seconds(now) // WINDOW * WINDOW)
            )
            assert row.id is not None
            since = epoch_seconds(row.since) // WINDOW * WINDOW
            ripe = self._ripe(feed)
            due: list[Seconds] = []
            if since < ripe:
                for gap in merge(readings.unread(session, row.id, (since, ripe))):
                    due += windows(gap, WINDOW)
            if len(due) < limit:
                due += readings.due_rereads(session, row.id, now, REREADS, limit - len(due))
        return due[:limit]

    def apply_changes(self) -> int:
        """Derive usage again where a lease or a label changed. Returns how many devices changed."""
        now, changed = self._clock.now(), 0
        with self._database.transaction() as session:
            self._fence(session)
            spans = [span for _, span in leasing.underived(session)] + tenants.underived_claims(session)
            if not spans:
                return 0
            first = min(span.start for span in spans)
            for feed in self._feeds.values():
                terms = self._terms(session, feed)
                read = readings.read_windows(session, terms.id, Span(min(first, now), max(now, first)))
                for window in merge(read):
                    if span := clip(window, (epoch_seconds(first), window[1])):
                        changed += rederive(session, terms, span, now)
            leasing.mark_derived(session)
            tenants.mark_claims_derived(session, now)
        return changed

    def _collect(self, feed: Feed, wanted: Sequence[Seconds], outcome: Outcome, progress: Progress | None) -> None:
        if not wanted:
            return
        batch: list[Reading] = []
        try:
            for reading in _read_ahead(feed.source, wanted):
                batch.append(reading)
                outcome.windows += 1
                outcome.samples += reading.samples
                if progress is not None:
                    progress(feed.source.name, reading.window)
        finally:  # what was read before a failure is kept
            if batch:
                with self._database.transaction() as session:
                    self._fence(session)
                    terms = self._terms(session, feed)
                    outcome.unchanged += _store(session, terms, feed.source, batch, self._clock.now())

    def _terms(self, session: Session, feed: Feed) -> SourceTerms:
        since = feed.since or at_second(epoch_seconds(self._clock.now()) // WINDOW * WINDOW)
        row = readings.source(session, feed.source.name, feed.kind, since)
        assert row.id is not None
        return SourceTerms(row.id, feed.source.name, feed.rule)

    def _ripe(self, feed: Feed) -> int:
        """The end of the newest window whose last samples must have arrived."""
        settled = (
            epoch_seconds(self._clock.now()) - feed.source.lag_seconds - -(-feed.source.cadence.max_gap_ms // 1000)
        )
        return settled // WINDOW * WINDOW


def _read_ahead(source: Source, wanted: Sequence[Seconds]) -> Iterator[Reading]:
    """Readings in order; the next one is fetched while this one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(source.read, wanted[0])
        for following in wanted[1:]:
            reading = ahead.result()
            ahead = pool.submit(source.read, following)
            yield reading
        yield ahead.result()


def _store(session: Session, terms: SourceTerms, source: Source, batch: Sequence[Reading], now: datetime) -> int:
    """Store what a batch of readings saw, and derive usage where it is new. Returns how many windows had not changed."""
    problems: list[str] = []
    found = [coverage.presence(reading, source.cadence) for reading in batch]
    for reading, presence in zip(batch, found, strict=True):
        new, grown = fleet.register(session, terms.name, coverage.sightings(reading, presence))
        problems += [*new, *reading.problems]
        for span in grown:
            readings.forget(session, terms.id, span, now)
    gpus = by_gpu(fleet.devices(session, source=terms.name))
    known = readings.digests(session, terms.id, [reading.window for reading in batch])
    reads: list[Read] = []
    observed: dict[int, list[Segment]] = {}
    changed: list[Seconds] = []
    for reading, presence in zip(batch, found, strict=True):
        answering = coverage.answering(reading, source.cadence)
        seen: dict[int, list[Segment]] = {}
        names: dict[int, DeviceKey] = {}
        for devices in gpus.values():
            seen.update(coverage.observe(presence, devices, answering, reading.window))
            names.update((device.id, device.key) for device in devices)
        read = _summary(reading, seen, names, problems)
        reads.append(read)
        if known.get(read.window) != read.digest:
            changed.append(read.window)
            for device_id, segments in seen.items():
                observed.setdefault(device_id, []).extend(segments)
    for span in merge(changed):
        devices_all = [device.id for devices in gpus.values() for device in devices]
        stored = runs.observations(session, terms.id, span)
        wanted = {key: [s for s in segments if clip(s[:2], span)] for key, segments in observed.items()}
        runs.save_observations(session, terms.id, runs.splice_all(stored, wanted, span, devices_all), now)
        rederive(session, terms, span, now)
    readings.save(session, terms.id, reads, now)
    readings.note_failure(session, terms.id, "", now)
    return len(batch) - len(changed)


def _summary(
    reading: Reading, seen: Mapping[int, Sequence[Segment]], names: Mapping[int, DeviceKey], problems: Sequence[str]
) -> Read:
    seconds = dict.fromkeys(State, 0)
    for segments in seen.values():
        for start, end, one in segments:
            seconds[one.state] += end - start
    parts = [
        (str(names[device_id]), start, end, one.state.value, one.labels)
        for device_id, segments in seen.items()
        for start, end, one in segments
    ]
    status, reason = "complete", "; ".join(sorted(set(problems))[:5])
    if seen and not seconds[State.PRESENT]:
        status, reason = "empty", reason or "the source answered without a single device"
    elif seconds[State.BLIND] or seconds[State.MISSING]:
        status = "partial"
        reason = reason or f"{seconds[State.BLIND]} s blind, {seconds[State.MISSING]} s missing"
    return Read(
        reading.window,
        digest(parts),
        status,
        reason,
        reading.samples,
        seconds[State.PRESENT],
        seconds[State.MISSING],
        seconds[State.BLIND],
    )

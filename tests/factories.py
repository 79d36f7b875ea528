"""Small worlds for tests: times, tenants, a source that plays a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from billing.core.clock import ManualClock
from billing.core.period import Seconds, epoch_seconds
from billing.db.engine import Database, Session
from billing.fleet.gpu import DeviceKey
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Cadence, DeviceRuns, Reading, Source, runs_of
from billing.metering.usage import ExclusionRule
from billing.quotes import feed as quoted
from billing.tenants.registrar import Registrar
from billing.tenants.tenant import Attribution, Tenant

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
H100 = "NVIDIA H100 80GB HBM3"
NO_EXCLUSIONS = ExclusionRule(operator_evidence=False, minimum_seconds=900)
OPERATOR = ExclusionRule(operator_evidence=True, minimum_seconds=900)


def at(hours: float = 0, *, day: int = 1) -> datetime:
    """A moment of October 2026."""
    return datetime(2026, 10, day, tzinfo=UTC) + timedelta(hours=hours)


def no_fence(session: Session) -> None:
    """Tests hold every role."""


def tenant(slug: str, attribution: str = "observed", **fields: str) -> Tenant:
    return Tenant(slug=slug, name=slug.title(), attribution=Attribution(attribution), **fields)  # type: ignore[arg-type]


def add_tenants(database: Database, clock: ManualClock, *slugs: str) -> None:
    """Observed tenants whose label is their name."""
    registrar = Registrar(database, clock)
    for slug in slugs:
        registrar.add(tenant(slug), [slug], actor="test")


@dataclass
class ScriptedSource:
    """A source whose truth is written down: per device, (from, to, label) in seconds; and when its exporter was up."""

    devices: Mapping[DeviceKey, Sequence[tuple[int, int, str]]]
    up: Sequence[Seconds] = ()
    name: str = "script"
    host: str = "n1"
    interval: int = 60
    lag_seconds: int = 0
    reads: list[Seconds] = field(default_factory=list)

    @property
    def cadence(self) -> Cadence:
        return Cadence(self.interval * 1000, self.interval * 2500)

    def read(self, window: Seconds) -> Reading:
        self.reads.append(window)
        gap = self.cadence.max_gap_ms // 1000
        after = window[0] - gap + 1
        times = range(after + (7 - after) % self.interval, window[1] + gap + 1, self.interval)
        up = [t for t in times if any(a <= t < b for a, b in self.up)]
        reading = Reading(window)
        for key, script in self.devices.items():
            series: dict[str, list[int]] = {}
            for t in up:
                for start, end, label in script:
                    if start <= t < end:
                        series.setdefault(label, []).append(t * 1000)
            if series:
                seen = DeviceRuns(H100, self.host, f"{self.host}:9400", runs_of(series, self.cadence.max_gap_ms))
                reading.devices[key] = seen
                reading.samples += sum(len(times) for times in series.values())
        if up:
            reading.answering[f"{self.host}:9400"] = runs_of({"": [t * 1000 for t in up]}, self.cadence.max_gap_ms)
        return reading


def collector(
    database: Database,
    clock: ManualClock,
    *sources: Source,
    rule: ExclusionRule = NO_EXCLUSIONS,
    since: datetime = OCTOBER,
) -> Collector:
    return Collector(database, clock, [Feed(source, "script", rule, since) for source in sources], no_fence)


def second(hours: float) -> int:
    """A moment of October 2026 as an epoch second."""
    return epoch_seconds(at(hours))


class NoFeeds:
    """Nobody knows a rate: for tests in which no token needs one."""

    def rate(self, chain_id: int, at: quoted.At, feed: quoted.Feed) -> quoted.Rate | quoted.NoRate:
        raise AssertionError("no rate is needed here")

"""Derives usage from observations, leases and exclusions. The same rows in give the same rows out, however often it runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from billing.core.period import Seconds, Span, clip, merge
from billing.db.engine import Session
from billing.fleet import store as fleet
from billing.fleet.gpu import Device
from billing.leasing import store as leasing
from billing.metering.coverage import GONE
from billing.metering.store import readings
from billing.metering.store import runs as store
from billing.metering.usage import Evidence, Excluded, ExclusionRule, Gaps, Held, Labels, Payer, Terms, derive
from billing.tenants import store as tenants


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """A source as derivation needs it."""

    id: int
    name: str
    rule: ExclusionRule


def by_gpu(devices: Sequence[Device]) -> dict[int, list[Device]]:
    """Devices by GPU, the whole device first: it is made with the GPU, before any instance."""
    return {gpu_id: list(group) for gpu_id, group in groupby(devices, key=lambda device: device.gpu_id)}


def labels(session: Session) -> Labels:
    known = tenants.listed(session)
    return Labels(tenants.claims(session), (tenant.id for tenant in known if tenant.bills_labels))


@dataclass(frozen=True, slots=True)
class _Job:
    """One rederivation: the GPUs, how their evidence is read, and when."""

    source: SourceTerms
    gpus: Mapping[int, Sequence[Device]]
    terms: Terms
    now: datetime

    @property
    def reach(self) -> int:
        """What is read now may be the other side of a gap that began so long before the window, or after it."""
        return self.terms.gaps.longest


def rederive(session: Session, source: SourceTerms, window: Seconds, now: datetime) -> int:
    """Derive usage and automatic exclusions of a source's GPUs over a window. Returns how many devices changed."""
    gpus = by_gpu(fleet.devices(session, source=source.name))
    if not gpus:
        return 0
    gaps = Gaps(tenants.gap_terms(session))
    job = _Job(source, gpus, Terms(source.id, labels(session), source.rule, gaps), now)
    wide = _reach_back(session, job, (window[0] - job.reach, window[1] + job.reach))
    return sum(_derive(session, job, piece) for piece in _read(session, source.id, window, wide))


def _read(session: Session, source_id: int, window: Seconds, wide: Seconds) -> list[Seconds]:
    """The parts of `wide` that were read, and the window itself: a lease bills nothing before its time was read."""
    known = readings.read_windows(session, source_id, Span.from_seconds(wide))
    return [span for one in merge([window, *known]) if (span := clip(one, wide)) is not None]


def _derive(session: Session, job: _Job, window: Seconds) -> int:
    gpus = job.gpus
    observed = store.observations(session, job.source.id, (window[0] - job.reach, window[1] + job.reach))
    held = _held(session, gpus, window)
    excluded = store.exclusions(session, list(gpus), window)
    usage: dict[int, list[tuple[int, int, Payer]]] = {}
    automatic: dict[int, list[tuple[int, int, Excluded]]] = {}
    for gpu_id, devices in gpus.items():
        decided = [(r.start, r.end, r.value) for r in excluded.get(gpu_id, ()) if not _automatic(r.value)]
        segments = {device.id: store.segments(observed.get(device.id, ())) for device in devices}
        derived = derive(Evidence(devices, segments, held.get(gpu_id, ()), decided), window, job.terms)
        usage.update(derived.usage)
        automatic[gpu_id] = derived.exclusions
    device_ids = [device.id for devices in gpus.values() for device in devices]
    changes = store.splice_all(store.usage(session, device_ids, window), usage, window, device_ids)
    seats = {device.id: device.seat for devices in gpus.values() for device in devices}
    store.save_usage(session, changes, seats, job.now)
    known = {gpu: [row for row in rows if _automatic(row.value)] for gpu, rows in excluded.items()}
    store.save_exclusions(session, store.splice_all(known, automatic, window, list(gpus)), job.now)
    return len(changes)


def _held(session: Session, gpus: Mapping[int, Sequence[Device]], window: Seconds) -> dict[int, list[Held]]:
    held: dict[int, list[Held]] = defaultdict(list)
    for lease in leasing.listed(session, gpu_ids=list(gpus), span=Span.from_seconds(window)):
        held[lease.gpu_id].append(Held(lease.id, lease.tenant_id, lease.seconds))
    return held


def _automatic(excluded: Excluded) -> bool:
    return excluded.evidence.startswith("source:")


def _reach_back(session: Session, job: _Job, window: Seconds) -> Seconds:
    """A leased device that went missing before the window may only now have been missing long enough to be excluded:
    then the window begins where it went missing."""
    rule = job.source.rule
    if not rule.operator_evidence:
        return window
    held = _held(session, job.gpus, window)
    if not held:
        return window
    observed = store.observations(session, job.source.id, window)
    starts = [
        row.start
        for gpu_id in held
        for row in observed.get(job.gpus[gpu_id][0].id, ())
        if row.value == GONE and row.start < window[0] and row.end - row.start >= rule.minimum_seconds
    ]
    return min([window[0], *starts]), window[1]

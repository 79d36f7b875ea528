"""Derives usage from observations, leases and exclusions. The same rows in give the same rows out, however often it runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from billing.core.period import Seconds, Span, at_second, clip, merge, month_of
from billing.db import changes
from billing.db.engine import Session
from billing.fleet import store as fleet
from billing.fleet.gpu import Device
from billing.fleet.place import homes
from billing.fleet.store import places
from billing.leasing import store as leasing
from billing.metering.coverage import Segment
from billing.metering.derivation import Evidence, Terms, derive
from billing.metering.exclusion import SOURCE, Exclusions, is_derived
from billing.metering.runs import touched
from billing.metering.store import days, decisions, readings
from billing.metering.store import runs as store
from billing.metering.usage import Gaps, Held, Labels, Payer
from billing.metering.views import combined
from billing.tenants import store as tenants


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """A source as derivation needs it."""

    id: int
    name: str


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
    """Derive usage and exclusions of a source's GPUs over a window. Returns how many devices changed.

    Leased GPUs that were missing are derived over whole months: how long they were missing, and how much of the month's
    cap is used up, does not depend on the order in which windows are read.
    """
    gpus = by_gpu(fleet.devices(session, source=source.name))
    if not gpus:
        return 0
    gaps = Gaps(tenants.gap_terms(session))
    job = _Job(source, gpus, Terms(readings.sources(session), labels(session), gaps), now)
    wide = (window[0] - job.reach, window[1] + job.reach)
    missing = _missing(session, job, wide)
    others = {gpu_id: devices for gpu_id, devices in gpus.items() if gpu_id not in missing}
    changed = 0
    for piece in _read(session, list(gpus), window, wide):
        changed += _derive(session, replace(job, gpus=others), piece, piece)
    if missing:
        first = min([wide[0], *missing.values()])
        months = (_month(first).seconds[0], _month(wide[1]).seconds[1])
        lost = replace(job, gpus={gpu_id: gpus[gpu_id] for gpu_id in missing})
        for piece in _read(session, list(gpus), window, months):
            changed += _derive(session, lost, piece, months)
    days.note_change(session, window)
    return changed


def _month(second: int) -> Span:
    return month_of(at_second(second))


def _missing(session: Session, job: _Job, window: Seconds) -> dict[int, int]:
    """Leased GPUs that were missing near the window, or are excluded there as missing: {GPU id: since when, at least}."""
    wholes = {devices[0].id: gpu_id for gpu_id, devices in job.gpus.items()}
    since: dict[int, int] = {}
    for device_id, start in store.missing_since(session, window, list(wholes)).items():
        since[wholes[device_id]] = start
    for gpu_id, excluded in store.exclusions(session, list(job.gpus), window).items():
        starts = [row.start for row in excluded if row.value.evidence.startswith(SOURCE)]
        if starts:
            since[gpu_id] = min([since.get(gpu_id, window[1]), *starts])
    if not since:
        return {}
    first = min(since.values())
    held = _held(session, {gpu_id: job.gpus[gpu_id] for gpu_id in since}, (first - 1, window[1]))
    excluded_ids = set(store.exclusions(session, list(since), window))
    # A run that begins with a month may have begun before it: rows are cut there.
    return {gpu_id: start - 1 for gpu_id, start in since.items() if gpu_id in held or gpu_id in excluded_ids}


def _read(session: Session, gpu_ids: Sequence[int], window: Seconds, wide: Seconds) -> list[Seconds]:
    """The parts of `wide` that some source of the GPUs has read, and the window itself: a lease bills nothing before its
    time was read."""
    known = readings.read_about(session, gpu_ids, wide)
    return [span for one in merge([window, *known]) if (span := clip(one, wide)) is not None]


def _derive(session: Session, job: _Job, window: Seconds, known: Seconds) -> int:
    """Derive some GPUs over a window, from the evidence of the span `known` around it."""
    gpus = job.gpus
    device_ids = [device.id for devices in gpus.values() for device in devices]
    near = (known[0] - job.reach, known[1] + job.reach)
    observed = seen(session, gpus, near)
    held = _held(session, gpus, known)
    excluded = store.exclusions(session, list(gpus), known)
    maintenance = decisions.maintenance_of(session, list(gpus), near)
    usage: dict[int, list[tuple[int, int, Payer]]] = {}
    exclusions: dict[int, Exclusions] = {}
    disputes: dict[int, list[tuple[int, int, tuple[str, ...]]]] = {}
    for gpu_id, devices in gpus.items():
        decided = [(r.start, r.end, r.value) for r in excluded.get(gpu_id, ()) if not is_derived(r.value)]
        evidence = Evidence(devices, observed[gpu_id], held.get(gpu_id, ()), decided, maintenance.get(gpu_id, ()))
        derived = derive(evidence, window, job.terms)
        usage.update(derived.usage)
        disputes.update(derived.disputes)
        exclusions[gpu_id] = derived.exclusions
    before = store.usage(session, device_ids, window)
    changed = store.splice_all(before, usage, window, device_ids)
    seats = {device.id: device.seat for devices in gpus.values() for device in devices}
    store.save_usage(session, changed, seats, job.now)
    if changed:
        changes.note(session, window, job.now)
    disputed = store.splice_all(store.disputes(session, device_ids, window), disputes, window, device_ids)
    store.save_disputes(session, disputed, job.now)
    stored = {
        gpu_id: [row for row in rows if is_derived(row.value)]
        for gpu_id, rows in store.exclusions(session, list(gpus), window).items()
    }
    excluding = store.splice_all(stored, exclusions, window, list(gpus))
    store.save_exclusions(session, excluding, job.now)
    spans = [span for device, change in changed.items() for span in touched(before.get(device, ()), change)]
    spans += [span for gpu_id, change in excluding.items() for span in touched(stored.get(gpu_id, ()), change)]
    for span in merge(spans):
        days.note_change(session, span)
    return len(changed)


def seen(session: Session, gpus: Mapping[int, Sequence[Device]], near: Seconds) -> dict[int, dict[int, list[Segment]]]:
    """What all sources together say about GPUs around a span: {GPU id: {device id: segments}}."""
    device_ids = {device.id: gpu_id for gpu_id, devices in gpus.items() for device in devices}
    said: dict[int, dict[str, dict[int, list[Segment]]]] = {gpu_id: {} for gpu_id in gpus}
    for source, devices in store.views(session, near, list(device_ids)).items():
        for device_id, segments in devices.items():
            said[device_ids[device_id]].setdefault(source, {})[device_id] = segments
    rows = [segments for views in said.values() for view in views.values() for segments in view.values()]
    reach = min([near[0], *(one[0][0] for one in rows)]), max([near[1], *(one[-1][1] for one in rows)])
    known = places.near(session, list(gpus), reach)
    return {
        gpu_id: combined(views, homes(known.get(gpu_id, ()), reach), gpus[gpu_id]) for gpu_id, views in said.items()
    }


def _held(session: Session, gpus: Mapping[int, Sequence[Device]], window: Seconds) -> dict[int, list[Held]]:
    held: dict[int, list[Held]] = defaultdict(list)
    for lease in leasing.listed(session, gpu_ids=list(gpus), span=Span.from_seconds(window)):
        held[lease.gpu_id].append(Held(lease.id, lease.tenant_id, lease.seconds))
    return held

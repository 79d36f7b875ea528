"""Derives usage from observations, leases and exclusions. The same rows in give the same rows out, however often it runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from billing.core.period import Seconds, Span
from billing.db.engine import Session
from billing.fleet import store as fleet
from billing.fleet.gpu import Device
from billing.leasing import store as leasing
from billing.metering.coverage import Seen
from billing.metering.store import runs as store
from billing.metering.usage import Evidence, Excluded, ExclusionRule, Held, Labels, Payer, Terms, derive, missing
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


def rederive(session: Session, source: SourceTerms, window: Seconds, now: datetime) -> int:
    """Derive usage and automatic exclusions of a source's GPUs over a window. Returns how many devices changed."""
    gpus = by_gpu(fleet.devices(session, source=source.name))
    if not gpus:
        return 0
    observed = store.observations(session, source.id, window)
    held, excluded = _held(session, gpus, window), store.exclusions(session, list(gpus), window)
    wider = _reach(window, source.rule, gpus, observed, held, excluded)
    if wider != window:
        window, observed = wider, store.observations(session, source.id, wider)
        held, excluded = _held(session, gpus, window), store.exclusions(session, list(gpus), window)
    terms = Terms(source.id, labels(session), source.rule)
    usage: dict[int, list[tuple[int, int, Payer]]] = {}
    automatic: dict[int, list[tuple[int, int, Excluded]]] = {}
    for gpu_id, devices in gpus.items():
        decided = [(r.start, r.end, r.value) for r in excluded.get(gpu_id, ()) if not _automatic(r.value)]
        segments = {device.id: store.segments(observed.get(device.id, ())) for device in devices}
        derived = derive(Evidence(devices, segments, held.get(gpu_id, ()), decided), window, terms)
        usage.update(derived.usage)
        automatic[gpu_id] = derived.exclusions
    device_ids = [device.id for devices in gpus.values() for device in devices]
    changes = store.splice_all(store.usage(session, device_ids, window), usage, window, device_ids)
    seats = {device.id: device.seat for devices in gpus.values() for device in devices}
    store.save_usage(session, changes, seats, now)
    known = {gpu: [row for row in rows if _automatic(row.value)] for gpu, rows in excluded.items()}
    store.save_exclusions(session, store.splice_all(known, automatic, window, list(gpus)), now)
    return len(changes)


def _held(session: Session, gpus: Mapping[int, Sequence[Device]], window: Seconds) -> dict[int, list[Held]]:
    held: dict[int, list[Held]] = defaultdict(list)
    for lease in leasing.listed(session, gpu_ids=list(gpus), span=Span.from_seconds(window)):
        held[lease.gpu_id].append(Held(lease.id, lease.tenant_id, lease.seconds))
    return held


def _automatic(excluded: Excluded) -> bool:
    return excluded.evidence.startswith("source:")


def _reach(
    window: Seconds,
    rule: ExclusionRule,
    gpus: Mapping[int, Sequence[Device]],
    observed: store.Runs[Seen],
    held: Mapping[int, Sequence[Held]],
    excluded: store.Runs[Excluded],
) -> Seconds:
    """The window, and beyond it what depends on it: a leased device that went missing before may only now have been missing
    long enough to be excluded, and an exclusion that reaches into the window may be none any more."""
    edges = [
        edge for rows in excluded.values() for row in rows if _automatic(row.value) for edge in (row.start, row.end)
    ]
    if rule.operator_evidence:
        for gpu_id in held:
            spans = missing(store.segments(observed.get(gpus[gpu_id][0].id, ())), rule)
            edges += [start for start, end in spans if end >= window[0]]
    return min([window[0], *edges]), max([window[1], *edges])

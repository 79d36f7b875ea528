"""Who pays for which seat when: leases first, then labels; nobody for what is disputed.

A lease takes the whole GPU, less its exclusions; labels on leased devices are evidence only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from billing.core.period import Seconds, clip, subtract
from billing.fleet.gpu import Device
from billing.metering.coverage import SUSPECT, Segment, State
from billing.metering.exclusion import Exclusions, Maintenance, Used, Word, announced, proven, unbilled
from billing.metering.usage import Claimed, ExclusionRule, Gaps, Held, Labels, Payer, attribute, bridges


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one GPU. `devices` are all of its devices, the whole one first; `observed` holds their
    current segments as whole runs (an exclusion needs its full length, and a month's cap all of the month's); `decided`
    are exclusions that people decided on."""

    devices: Sequence[Device]
    observed: Mapping[int, Sequence[Segment]]
    leases: Sequence[Held]
    decided: Exclusions
    maintenance: Sequence[Maintenance] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """How evidence is read. `sources` holds every known source's id and how its word about missing devices is taken."""

    sources: Mapping[str, tuple[int, ExclusionRule]]
    labels: Labels
    gaps: Gaps = field(default_factory=Gaps)


@dataclass(slots=True)
class Derived:
    """The truth about one GPU in a window: usage by device id, exclusions of the GPU that follow from evidence, and what
    labels dispute, by device id."""

    usage: dict[int, list[tuple[int, int, Payer]]] = field(default_factory=dict)
    exclusions: Exclusions = field(default_factory=list)
    disputes: dict[int, list[tuple[int, int, tuple[str, ...]]]] = field(default_factory=dict)


def derive(evidence: Evidence, window: Seconds, terms: Terms) -> Derived:
    """Usage and exclusions of one GPU inside a window. Out of service nothing is billed, leased or not."""
    derived, whole = Derived(), evidence.devices[0]
    served = clip(whole.in_service, window)
    if served is None:
        return derived
    window = served
    derived.exclusions = [
        (*span, excluded)
        for start, end, excluded in _exclusions(evidence, terms)
        if (span := clip((start, end), window)) is not None
    ]
    let = [(held, span) for held in evidence.leases if (span := clip(held.span, window))]
    holes = unbilled([*derived.exclusions, *evidence.decided])
    for held, span in let:
        payer = Payer(held.tenant_id, lease_id=held.lease_id)
        derived.usage.setdefault(whole.id, []).extend((s, e, payer) for s, e in subtract([span], holes))
    leased = [span for _, span in let]
    claims = _claims(evidence, terms)
    for device_id, rows in _observed(evidence, claims, terms).items():
        for start, end, payer in rows:
            if found := clip((start, end), window):
                derived.usage.setdefault(device_id, []).extend((s, e, payer) for s, e in subtract([found], leased))
    for device_id, said in claims.items():
        for start, end, claimed in said:
            if claimed.disputed and (found := clip((start, end), window)):
                parts = [(s, e, claimed.labels) for s, e in subtract([found], leased)]
                derived.disputes.setdefault(device_id, []).extend(parts)
    for spans in derived.usage.values():
        spans.sort(key=lambda one: one[0])
    return derived


def _exclusions(evidence: Evidence, terms: Terms) -> Exclusions:
    """Maintenance first: it needs no proof. Then what the source proves of the rest."""
    whole = evidence.devices[0]
    leases = [replace(held, span=span) for held in evidence.leases if (span := clip(held.span, whole.in_service))]
    if not leases:
        return []
    planned = announced(evidence.maintenance, [held.span for held in leases], evidence.decided)
    gone: dict[str, list[Seconds]] = {}
    for start, end, seen in evidence.observed.get(whole.id, ()):
        if seen.state is State.MISSING:
            gone.setdefault(seen.source or whole.source, []).append((start, end))
    settled = [(start, end) for start, end, _ in (*planned, *evidence.decided)]
    found, used = planned, Used()
    for source, spans in gone.items():
        _, rule = terms.sources[source]
        found = [*found, *proven(spans, leases, settled, Word(source, rule, terms.gaps), used)]
    return sorted(found, key=lambda row: row[0])


Claims = dict[int, list[tuple[int, int, Claimed]]]


def _claims(evidence: Evidence, terms: Terms) -> Claims:
    source = evidence.devices[0].source
    return {d.id: attribute(evidence.observed.get(d.id, ()), terms.labels, source) for d in evidence.devices}


def _observed(evidence: Evidence, claims: Claims, terms: Terms) -> dict[int, list[tuple[int, int, Payer]]]:
    """What labels alone would bill, by device id. Time in a maintenance window is billed as it was seen, and never bridged."""
    whole = evidence.devices[0]
    blind = [
        (start, end)
        for start, end, seen in evidence.observed.get(whole.id, ())
        if seen.state is State.BLIND and seen.reason != SUSPECT.reason
    ]
    planned = [one.span for one in evidence.maintenance]
    found: dict[int, list[tuple[int, int, Payer]]] = {}
    for device_id, said in claims.items():
        rows = [
            (s, e, Payer(c.tenant_id, source_id=terms.sources[c.source][0]))
            for s, e, c in said
            if c.tenant_id is not None
        ]
        if blind and terms.gaps.longest:
            for start, end, tenant_id, source in bridges(said, blind, terms.gaps):
                payer = Payer(tenant_id, source_id=terms.sources[source][0], bridged=True)
                rows += [(s, e, payer) for s, e in subtract([(start, end)], planned)]
        if rows:
            found[device_id] = rows
    return found

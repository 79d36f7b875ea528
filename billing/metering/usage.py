"""Who pays for which seat when: leases first, then labels; nobody for what is disputed.

A lease takes the whole GPU, less its exclusions; labels on leased devices are evidence only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from billing.core.period import Seconds, clip, merge, subtract
from billing.fleet.gpu import Device
from billing.metering.coverage import GONE, Segment, State
from billing.tenants.tenant import Claim


@dataclass(frozen=True, slots=True)
class Payer:
    """Who is billed for a run of usage, and on what ground: a lease, or a label that a source saw."""

    tenant_id: int
    lease_id: int | None = None
    source_id: int | None = None

    @property
    def basis(self) -> str:
        return "lease" if self.lease_id is not None else "observed"


class Claimed(NamedTuple):
    """What labels say: a tenant, a dispute, or neither (unattributed)."""

    tenant_id: int | None
    disputed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of one GPU, as metering needs it."""

    lease_id: int
    tenant_id: int
    span: Seconds


@dataclass(frozen=True, slots=True)
class Excluded:
    """Leased time that is not billed. `evidence` says whose word it is."""

    reason: str
    evidence: str
    state: str = "accepted"


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """When a source's word excludes leased time by itself: only operator-side evidence, only long enough."""

    operator_evidence: bool
    minimum_seconds: int


class Labels:
    """What labels mean, at which time. Built once for many devices."""

    def __init__(self, claims: Iterable[Claim], billable: Iterable[int]) -> None:
        self._claims: dict[tuple[str, str], list[Claim]] = {}
        self._billable = set(billable)
        for claim in claims:
            self._claims.setdefault((claim.source, claim.label), []).append(claim)

    def edges(self, source: str, label: str, within: Seconds) -> list[int]:
        """The moments inside `within` at which the label's meaning may change."""
        spans = [claim.span for claim in self._of(source, label)]
        return [edge for span in spans for edge in span if within[0] < edge < within[1]]

    def tenant(self, source: str, label: str, at: int) -> int | None:
        """Whom the label means; None when nobody, or a tenant that is billed by its leases only. A claim for the one
        source beats a claim for all."""
        for claim in self._of(source, label):
            if claim.span[0] <= at < claim.span[1]:
                return claim.tenant_id if claim.tenant_id in self._billable else None
        return None

    def _of(self, source: str, label: str) -> list[Claim]:
        return self._claims.get((source, label), []) + self._claims.get(("", label), [])


def attribute(device_segments: Sequence[Segment], labels: Labels, source: str) -> list[tuple[int, int, Claimed]]:
    """What the present time that carries labels is claimed by.

    Several labels of one tenant (virtual GPUs, jobs of one team) are one claim. Labels of different tenants, or of a
    tenant and of nobody known, are a dispute.
    """
    found: list[tuple[int, int, Claimed]] = []
    for start, end, seen in device_segments:
        if seen.state is not State.PRESENT or not seen.labels:
            continue
        edges = sorted(
            {start, end, *(edge for label in seen.labels for edge in labels.edges(source, label, (start, end)))}
        )
        for lo, hi in pairwise(edges):
            tenants = {labels.tenant(source, label, lo) for label in seen.labels}
            disputed = len(tenants) > 1
            found.append((lo, hi, Claimed(None if disputed else next(iter(tenants)), disputed)))
    return found


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one GPU. `devices` are all of its devices, the whole one first; `observed` holds their
    current segments as whole runs (an exclusion needs its full length); `decided` are exclusions that people entered."""

    devices: Sequence[Device]
    observed: Mapping[int, Sequence[Segment]]
    leases: Sequence[Held]
    decided: Sequence[tuple[int, int, Excluded]]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a source's evidence is read."""

    source_id: int
    labels: Labels
    rule: ExclusionRule


@dataclass(slots=True)
class Derived:
    """The truth about one GPU in a window: usage by device id, and automatic exclusions of the GPU."""

    usage: dict[int, list[tuple[int, int, Payer]]] = field(default_factory=dict)
    exclusions: list[tuple[int, int, Excluded]] = field(default_factory=list)


def missing(segments: Iterable[Segment], rule: ExclusionRule) -> list[Seconds]:
    """The spans in which a device was gone for long enough. Rows are cut at starts of months: they are measured whole."""
    gone = merge((start, end) for start, end, seen in segments if seen == GONE)
    return [(start, end) for start, end in gone if end - start >= rule.minimum_seconds]


def derive(evidence: Evidence, window: Seconds, terms: Terms) -> Derived:
    """Usage and automatic exclusions of one GPU inside a window. Out of service nothing is billed, leased or not."""
    derived, whole = Derived(), evidence.devices[0]
    served = clip(whole.in_service, window)
    if served is None:
        return derived
    window = served
    let = [(held, span) for held in evidence.leases if (span := clip(held.span, window))]
    leased = [span for _, span in let]
    if terms.rule.operator_evidence and leased:
        gone = missing(evidence.observed.get(whole.id, ()), terms.rule)
        for start, end in subtract(leased, subtract([window], gone)):
            derived.exclusions.append((start, end, Excluded("device missing", f"source:{whole.source}")))
    holes = [(start, end) for start, end, _ in derived.exclusions]
    holes += [(start, end) for start, end, excluded in evidence.decided if excluded.state == "accepted"]
    for held, span in let:
        payer = Payer(held.tenant_id, lease_id=held.lease_id)
        derived.usage.setdefault(whole.id, []).extend((s, e, payer) for s, e in subtract([span], holes))
    for device in evidence.devices:
        for start, end, claimed in attribute(evidence.observed.get(device.id, ()), terms.labels, whole.source):
            span = clip((start, end), window)
            if claimed.tenant_id is not None and span is not None:
                payer = Payer(claimed.tenant_id, source_id=terms.source_id)
                derived.usage.setdefault(device.id, []).extend((s, e, payer) for s, e in subtract([span], leased))
    for spans in derived.usage.values():
        spans.sort(key=lambda one: one[0])
    return derived

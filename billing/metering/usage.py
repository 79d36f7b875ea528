"""What usage is made of: payers, what labels mean, leases, exclusions, and which gaps are bridged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from billing.core.period import Seconds, subtract
from billing.metering.coverage import Segment, State
from billing.tenants.tenant import EXCLUDE_GAPS, Claim, GapRule, GapTerm


@dataclass(frozen=True, slots=True)
class Payer:
    """Who is billed for a run of usage, and on what ground: a lease, or a label that a source saw."""

    tenant_id: int
    lease_id: int | None = None
    source_id: int | None = None
    bridged: bool = False
    """Blind time that the tenant's gap policy bills: nobody saw it."""

    @property
    def basis(self) -> str:
        return "lease" if self.lease_id is not None else "observed"


class Claimed(NamedTuple):
    """What labels say: a tenant, a dispute between `labels`, or neither (unattributed). `source` saw them."""

    tenant_id: int | None
    disputed: bool
    labels: tuple[str, ...] = ()
    source: str = ""


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
    """When a source's word excludes leased time by itself: only operator-side evidence, only long enough, and only so much
    for each lease and month (None: no cap). What is long enough and not more than that is proposed to a person."""

    operator_evidence: bool
    minimum_seconds: int
    cap_seconds: int | None = None


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
    """What the present time that carries labels is claimed by. `source` saw the segments that name none.

    Several labels of one tenant (virtual GPUs, jobs of one team) are one claim. Labels of different tenants, or of a
    tenant and of nobody known, are a dispute; that another source sees a label which means nobody is none.
    """
    found: list[tuple[int, int, Claimed]] = []
    for start, end, seen in device_segments:
        if seen.state is not State.PRESENT or not seen.labels:
            continue
        name = seen.source or source
        known = [*((name, label) for label in seen.labels), *seen.others]
        edges = sorted({start, end, *(edge for one in known for edge in labels.edges(*one, (start, end)))})
        for lo, hi in pairwise(edges):
            tenants = {labels.tenant(name, label, lo) for label in seen.labels}
            tenants |= {labels.tenant(*other, lo) for other in seen.others} - {None}
            if len(tenants) > 1:
                everybody = tuple(sorted({label for _, label in known}))
                found.append((lo, hi, Claimed(None, True, everybody, name)))
            else:
                found.append((lo, hi, Claimed(next(iter(tenants)), False, source=name)))
    return found


class Gaps:
    """The tenants' gap rules, at which time. Built once for many devices."""

    def __init__(self, terms: Iterable[GapTerm] = ()) -> None:
        self._terms: dict[int, list[GapTerm]] = {}
        for term in terms:
            self._terms.setdefault(term.tenant_id, []).append(term)
        limits = (term.rule.limit_seconds for found in self._terms.values() for term in found)
        self.longest = max(limits, default=0)
        """No gap longer than this is ever bridged: how far derivation looks beyond a window."""

    def rule(self, tenant_id: int, at: int) -> GapRule:
        """The rule in force at a time: a gap is judged by the rule of the moment at which it began."""
        return next((one.rule for one in reversed(self._terms.get(tenant_id, ())) if one.since <= at), EXCLUDE_GAPS)


def bridges(
    claims: Sequence[tuple[int, int, Claimed]], blind: Sequence[Seconds], gaps: Gaps
) -> list[tuple[int, int, int, str]]:
    """(start, end, tenant, source) of the gaps in one device's claims that are billed though nobody saw the device.

    The same tenant was seen right before and right after, the whole gap is blind (not missing, not idle: those are
    known), and it is not longer than the tenant's limit.
    """
    found = []
    for (_, start, before), (end, _, after) in pairwise(claims):
        if start >= end or before.tenant_id is None or before.tenant_id != after.tenant_id:
            continue
        rule = gaps.rule(before.tenant_id, start)
        if end - start <= rule.limit_seconds and not subtract([(start, end)], blind):
            found.append((start, end, before.tenant_id, before.source))
    return found

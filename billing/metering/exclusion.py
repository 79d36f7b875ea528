"""Which leased time is not billed: what operators announced, what sources prove, and what a person has to decide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from billing.core.period import Seconds, at_second, clip, epoch_seconds, merge, month_of, month_starts, subtract
from billing.metering.usage import Excluded, ExclusionRule, Gaps, Held
from billing.tenants.tenant import GapPolicy

SOURCE, MAINTENANCE, DECISION = "source:", "maintenance:", "decision:"
"""What `evidence` begins with. The first two are derived again at any time; what a person decided stays."""

Exclusions = list[tuple[int, int, Excluded]]


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window in which the operator works on a GPU."""

    reference: str
    reason: str
    span: Seconds


@dataclass(frozen=True, slots=True)
class Word:
    """A source's word about missing devices, and how it is taken."""

    source: str
    rule: ExclusionRule
    gaps: Gaps


def is_derived(excluded: Excluded) -> bool:
    return not excluded.evidence.startswith(DECISION)


def announced(windows: Iterable[Maintenance], leased: Sequence[Seconds], decided: Exclusions) -> Exclusions:
    """Leased time in maintenance windows, once each, but for what a person excluded already."""
    taken = [(start, end) for start, end, one in decided if one.state == "accepted"]
    found: Exclusions = []
    for one in sorted(windows, key=lambda window: (window.span, window.reference)):
        inside = [part for span in leased if (part := clip(span, one.span))]
        excluded = Excluded(f"maintenance: {one.reason}", MAINTENANCE + one.reference)
        found += [(start, end, excluded) for start, end in subtract(inside, taken)]
        taken.append(one.span)
    return sorted(found, key=lambda row: row[0])


Used = dict[tuple[int, int], int]
"""Seconds that were excluded by themselves: {(lease, start of the month): seconds}."""


def proven(
    gone: Sequence[Seconds], leases: Sequence[Held], settled: Sequence[Seconds], word: Word, used: Used | None = None
) -> Exclusions:
    """Leased time in which the device was missing long enough.

    It is excluded at once where the operator controls the evidence and the tenant's leases are not billed in full, up to
    the cap for each lease and month; everything else is proposed. `settled` is time that maintenance or a person has
    dealt with. `gone` holds whole runs, and all of a month's: what comes first uses up the cap. `used` is what other
    sources have used of it, and is added to.
    """
    used = {} if used is None else used
    runs = [run for run in merge(gone) if run[1] - run[0] >= word.rule.minimum_seconds]
    found: Exclusions = []
    for lease in sorted(leases, key=lambda one: one.span):
        for run in runs:
            inside = clip(run, lease.span)
            if inside is None:
                continue
            why = _proposed_because(lease.tenant_id, inside[0], word)
            for start, end in _by_month(subtract([inside], settled)):
                if why:
                    found.append((start, end, _missing(word.source, why)))
                else:
                    found += _capped((start, end), lease.lease_id, used, word)
    return sorted(found, key=lambda row: row[0])


def _proposed_because(tenant_id: int, at: int, word: Word) -> str:
    if not word.rule.operator_evidence:
        return "which the tenant controls"
    if word.gaps.rule(tenant_id, at).policy is GapPolicy.LEASE:
        return "and the tenant is billed by lease"
    return ""


def _capped(span: Seconds, lease_id: int, used: Used, word: Word) -> Exclusions:
    """The part under the cap of the span's month is accepted, the rest proposed."""
    start, end = span
    cap = word.rule.cap_seconds
    month = lease_id, epoch_seconds(month_of(at_second(start)).start)
    left = end - start if cap is None else min(end - start, cap - used.get(month, 0))
    used[month] = used.get(month, 0) + left
    found: Exclusions = [(start, start + left, Excluded("device missing", SOURCE + word.source))] if left else []
    if start + left < end:
        found.append((start + left, end, _missing(word.source, f"over the cap of {cap} s a month")))
    return found


def _missing(source: str, why: str) -> Excluded:
    return Excluded("device missing", f"{SOURCE}{source}, {why}", "proposed")


def _by_month(spans: Sequence[Seconds]) -> list[Seconds]:
    return [
        part
        for start, end in spans
        for edges in [[start, *month_starts((start, end)), end]]
        for part in pairwise(edges)
    ]


def unbilled(exclusions: Iterable[tuple[int, int, Excluded]]) -> list[Seconds]:
    """The spans that are excluded, and not only proposed to be."""
    return merge((start, end) for start, end, one in exclusions if one.state == "accepted")

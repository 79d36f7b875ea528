"""What is known of whoever uses a GPU, and the rules of GPUs that not everybody may use. Pure.

A rule looks at the end customer who holds the GPU: its KYC and its attestations. Where a reseller stands between, its country and
its rejection count too. Days are UTC days.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span

REFERENCE_MAX: Final = 200


class KycStatus(StrEnum):
    NONE = "none"
    PENDING = "pending"
    VERIFIED = "verified"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Kyc:
    """What was found out about who somebody is, by whom and when."""

    status: KycStatus
    decided_on: date
    reason: str
    recorded_by: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Attestation:
    """What was attested, from `granted_on` until before `expires_on`, unless it was revoked first."""

    kind: str
    granted_on: date
    expires_on: date
    reference: str
    recorded_by: str = ""
    recorded_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    revoked_reason: str = ""

    def __post_init__(self) -> None:
        if not self.kind or len(self.kind) > 40 or not self.kind.isprintable() or " " in self.kind:
            raise Invalid(f"{self.kind[:50]!r} is no kind of attestation", remedy="a word, like end-use")
        if not self.reference.strip() or len(self.reference) > REFERENCE_MAX or not self.reference.isprintable():
            raise Invalid("an attestation names the paper that it is on", remedy="--reference, at most 200 characters")
        if self.granted_on >= self.expires_on:
            raise Invalid(f"an attestation of {self.granted_on} cannot expire on {self.expires_on}")

    def valid_at(self, at: datetime) -> bool:
        return self.granted_on <= at.date() < self.expires_on and (self.revoked_at is None or at < self.revoked_at)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tenant."""

    kyc: tuple[Kyc, ...] = ()
    attestations: tuple[Attestation, ...] = ()

    def as_of(self, at: datetime) -> "Known":
        """Without what was found out later."""
        return Known(tuple(one for one in self.kyc if one.recorded_at <= at), self.attestations)

    def changes(self, span: Span) -> list[datetime]:
        """The moments inside a span at which something that rules look at may have changed, in order."""
        days = [day for one in self.attestations for day in (one.granted_on, one.expires_on)]
        moments = {datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days}
        moments |= {one.revoked_at for one in self.attestations if one.revoked_at is not None}
        moments |= {one.recorded_at for one in self.kyc}
        return sorted(at for at in moments if span.start < at < span.end)

    @property
    def status(self) -> KycStatus:
        return self.kyc[-1].status if self.kyc else KycStatus.NONE

    def attested(self, kind: str, at: datetime) -> Attestation | None:
        """The attestation of a kind that is valid at a moment; of several the one that lasts longest."""
        valid = [one for one in self.attestations if one.kind == kind and one.valid_at(at)]
        return max(valid, key=lambda one: one.expires_on, default=None)


UNKNOWN: Final = Known()


@dataclass(frozen=True, slots=True)
class Party:
    """Who wants a GPU. `reseller` stands between us and the end customer, if anybody does."""

    tenant_id: int
    slug: str
    country: str
    reseller: "Party | None" = None


@dataclass(frozen=True, slots=True)
class Control:
    """A rule for GPUs of some models. Without `attestation` none is asked for."""

    name: str
    models: frozenset[str]
    attestation: str = ""
    kyc: bool = False
    denied_countries: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules. `denied_countries` are for every GPU."""

    controls: tuple[Control, ...] = ()
    denied_countries: frozenset[str] = frozenset()

    @property
    def on(self) -> bool:
        return bool(self.controls or self.denied_countries)

    def of(self, model: str) -> list[Control]:
        return [one for one in self.controls if model in one.models]

    def reasons(
        self, party: Party, known: Sequence[Known], models: Collection[str], span: Span, now: datetime
    ) -> list[str]:
        """Why this party may not hold GPUs of these models for this span; none when it may. Each begins with the rule's name.

        `known` is what is known of the party and then of its reseller. An attestation must be valid when the span begins, and
        now if the span has begun: one that expires later is asked about then.
        """
        found = [why for one in _chain(party) if (why := _denied("denied_countries", one, self.denied_countries))]
        moments = [span.start, *([now] if span.start < now < span.end else [])]
        for control in self.controls:
            if not control.models.isdisjoint(models):
                found += _broken(control, party, known, moments)
        return found


NO_RULES: Final = Rules()


def judged(control: Control, party: Party, known: Sequence[Known], model: str, at: datetime) -> list[str]:
    """Why one rule forbids a party to hold a GPU at a moment, by what was known then."""
    return Rules((control,)).reasons(party, [one.as_of(at) for one in known], [model], Span(at, FOREVER), at)


def pieces(span: Span, known: Sequence[Known]) -> list[Span]:
    """A span, cut wherever what is known of somebody changes: in each piece one answer holds."""
    cuts = sorted({span.start, span.end, *(at for one in known for at in one.changes(span))})
    return [Span(start, end) for start, end in pairwise(cuts)]


def _chain(party: Party) -> list[Party]:
    return [party, *([party.reseller] if party.reseller is not None else [])]


def _denied(rule: str, party: Party, countries: frozenset[str]) -> str:
    return f"{rule}: {party.slug} is in {party.country}" if party.country in countries else ""


def _broken(control: Control, party: Party, known: Sequence[Known], moments: Sequence[datetime]) -> list[str]:
    name, found = control.name, []
    for one, of in zip(_chain(party), known, strict=True):
        if control.denied_countries and not one.country:
            found.append(f"{name}: nobody said in which country {one.slug} is")
        elif why := _denied(name, one, control.denied_countries):
            found.append(why)
        if of.status is KycStatus.REJECTED:
            found.append(f"{name}: the KYC of {one.slug} is rejected")
    holder = known[0]
    if control.kyc and holder.status not in (KycStatus.VERIFIED, KycStatus.REJECTED):
        found.append(f"{name}: the KYC of {party.slug} is {holder.status}, not verified")
    if control.attestation:
        lacks = next((at for at in moments if holder.attested(control.attestation, at) is None), None)
        if lacks is not None:
            found.append(f"{name}: {party.slug} has no attestation {control.attestation} valid on {lacks:%Y-%m-%d}")
    return found

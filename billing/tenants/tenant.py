"""A tenant and the labels that mean it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.core.errors import Invalid
from billing.core.period import Seconds

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class Attribution(StrEnum):
    """How a tenant's GPU time is found: by its leases, or by its label on the device."""

    LEASE = "lease"
    OBSERVED = "observed"


class GapPolicy(StrEnum):
    """What blind time between two sightings of one payer is: never billed, billed up to a limit, or (`lease`) of no
    consequence, because the tenant's leases are billed in full whatever the metrics say."""

    EXCLUDE = "exclude"
    BRIDGE = "bridge"
    LEASE = "lease"


GAP_SECONDS_MAX: Final = 86_400
PURCHASE_ORDER_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class GapRule:
    """`limit_seconds`: the longest gap that is bridged. A longer one is not billed at all, not even in part."""

    policy: GapPolicy = GapPolicy.EXCLUDE
    limit_seconds: int = 0

    def __post_init__(self) -> None:
        if self.policy is GapPolicy.BRIDGE and not 0 < self.limit_seconds <= GAP_SECONDS_MAX:
            raise Invalid(
                f"the gap policy bridge needs a limit of 1 to {GAP_SECONDS_MAX} s", remedy="--gap-limit-seconds 900"
            )
        if self.policy is not GapPolicy.BRIDGE and self.limit_seconds:
            raise Invalid(f"the gap policy {self.policy} has no limit", remedy="leave --gap-limit-seconds out")

    def __str__(self) -> str:
        return f"bridge up to {self.limit_seconds} s" if self.policy is GapPolicy.BRIDGE else self.policy.value


EXCLUDE_GAPS: Final = GapRule()


@dataclass(frozen=True, slots=True)
class GapTerm:
    """From `since` on this is the tenant's rule, until a term that was set later says otherwise."""

    tenant_id: int
    rule: GapRule
    since: int


def checked_order(reference: str) -> str:
    """A purchase order's reference, as it is. Raises Invalid."""
    if len(reference) > PURCHASE_ORDER_MAX or not reference.isprintable() or reference != reference.strip():
        raise Invalid(f"a purchase order is printable text of at most {PURCHASE_ORDER_MAX} characters")
    return reference


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody who is billed. `slug` is its name in commands, documents and URLs; `reseller` pays in its place.
    `purchase_order` is the reference that its invoices bear unless one has its own."""

    slug: str
    name: str
    attribution: Attribution
    legal_name: str = ""
    country: str = ""
    email: str = ""
    reseller: str = ""
    tolerance_units: int = 1
    terms_days: int = 14
    id: int = 0
    address: str = ""
    tax_id: str = ""
    purchase_order: str = ""

    def __post_init__(self) -> None:
        if _SLUG.fullmatch(self.slug) is None:
            raise Invalid(f"tenant {self.slug!r} is not a name", remedy="use a-z, 0-9 and -, at most 40 characters")
        if not 0 < len(self.name) <= 200 or not self.name.isprintable():
            raise Invalid(f"tenant {self.slug} needs a printable display name of 1 to 200 characters")
        if len(self.legal_name) > 200 or not self.legal_name.isprintable():
            raise Invalid(f"tenant {self.slug} needs a printable legal name of at most 200 characters")
        if self.country and not (len(self.country) == 2 and self.country.isalpha() and self.country.isupper()):
            raise Invalid(f"tenant {self.slug}: country {self.country!r} is not a two-letter code", remedy="like AU")
        if self.email and _EMAIL.fullmatch(self.email) is None:
            raise Invalid(f"tenant {self.slug}: {self.email!r} is not an e-mail address")
        if self.tolerance_units < 0 or not 0 <= self.terms_days <= 3650:
            raise Invalid(f"tenant {self.slug}: tolerance and payment terms cannot be negative or absurd")
        for text, most, what in (
            (self.address, 500, "address"),
            (self.tax_id, 100, "tax number"),
        ):
            if len(text) > most or not text.isprintable() or text != text.strip():
                raise Invalid(f"tenant {self.slug}: the {what} is printable text of at most {most} characters")
        checked_order(self.purchase_order)
        if self.reseller == self.slug:
            raise Invalid(f"tenant {self.slug} cannot be its own reseller")

    @property
    def bills_labels(self) -> bool:
        return self.attribution is Attribution.OBSERVED


@dataclass(frozen=True, slots=True)
class Claim:
    """During `span`, `label` in `source` (empty: in every source) means the tenant."""

    tenant_id: int
    source: str
    label: str
    span: Seconds

"""A draft: what an invoice will say, before it has a number. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum

from billing.core.money import Asset, Money
from billing.core.period import Span
from billing.pricing.rating import LineEvidence, RatedLine
from billing.tenants.tenant import Tenant


class CreditOrder(IntEnum):
    """In which order kinds of credit are used."""

    promotional = 1
    prepaid = 2
    overpayment = 3


@dataclass(frozen=True, slots=True)
class Credit:
    """Credit that a tenant holds: what is left of it, oldest by `id`."""

    id: int
    kind: str
    reference: str
    units: int


@dataclass(frozen=True, slots=True)
class DraftLine:
    rated: RatedLine
    evidence: LineEvidence
    consumer: Tenant
    description: str


@dataclass(frozen=True, slots=True)
class Draft:
    """One payer's invoice for one period. Amounts are in the currency's smallest unit."""

    payer: Tenant
    period: Span
    currency: Asset
    lines: tuple[DraftLine, ...]
    credits: tuple[Credit, ...] = field(default=())

    @property
    def total(self) -> Money:
        return Money(sum(line.rated.amount for line in self.lines), self.currency)

    @property
    def credited(self) -> Money:
        return Money(sum(credit.units for credit in self.credits), self.currency)

    @property
    def amount_due(self) -> Money:
        return self.total - self.credited


def use_credit(held: Iterable[Credit], owed: int) -> tuple[Credit, ...]:
    """What of the held credit an amount owed uses up: promotional first, then prepaid, then overpayments; oldest first."""
    used = []
    for credit in sorted(held, key=lambda one: (CreditOrder[one.kind], one.id)):
        units = min(credit.units, owed)
        if units > 0:
            used.append(Credit(credit.id, credit.kind, credit.reference, units))
            owed -= units
    return tuple(used)


def drafts(
    lines: Sequence[tuple[RatedLine, LineEvidence]],
    tenants: Mapping[int, Tenant],
    titles: Mapping[str, str],
    period: Span,
    currency: Asset,
) -> list[Draft]:
    """One draft a payer, by slug. A reseller pays for its customers; their lines are grouped by customer."""
    by_slug = {tenant.slug: tenant for tenant in tenants.values()}
    by_payer: dict[str, list[DraftLine]] = {}
    for rated, evidence in lines:
        consumer = tenants[rated.key.tenant_id]
        title = titles.get(rated.key.sku, rated.key.sku)
        name = f"{title}, used by {consumer.name}" if consumer.reseller else title
        if evidence.bridged_seconds:
            name = f"{name}, of it {evidence.bridged_seconds} s in bridged gaps"
        by_payer.setdefault(consumer.reseller or consumer.slug, []).append(DraftLine(rated, evidence, consumer, name))
    return [
        Draft(
            by_slug[slug],
            period,
            currency,
            tuple(sorted(own, key=lambda line: (line.consumer.slug, line.rated.key.sku, line.rated.span.start))),
        )
        for slug, own in sorted(by_payer.items())
    ]


def coverage_text(measured: int, billed: int) -> str:
    """The share of billed seconds in which the device was also seen: four decimals, rounded down. `1.0000` is all."""
    if not billed:
        return "1.0000"
    return str((Decimal(abs(measured) * 10_000 // abs(billed)) / 10_000).quantize(Decimal("0.0001")))

"""A draft: what an invoice will say, before it has a number. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import IntEnum
from typing import Final

from billing.core.money import Asset, Money
from billing.core.period import Span
from billing.invoicing.document import TaxNote
from billing.invoicing.tax import TaxAmount, tax_on
from billing.pricing.rating import LineEvidence, LineKind, RatedLine, evidence_of, part_of
from billing.tenants.tax import TaxKind, TaxRule
from billing.tenants.tenant import Tenant

DESCRIPTION_MAX: Final = 200


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
    adjusts: Span | None = None
    """The invoiced period that the line corrects; it then shows what that period's rating lacks."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One payer's invoice for one period. Amounts are in the currency's smallest unit."""

    payer: Tenant
    period: Span
    currency: Asset
    lines: tuple[DraftLine, ...]
    credits: tuple[Credit, ...] = field(default=())
    progressive: bool = False
    """Is it for a part of a period that still runs?"""
    carried: tuple[DraftLine, ...] = field(default=())
    """What is to be given back and outweighs the invoice: it is derived again, and comes with a later one."""
    taxes: tuple[TaxAmount, ...] = field(default=())
    tax_note: TaxNote | None = None
    """Why there is no tax."""
    purchase_order: str = ""

    @property
    def subtotal(self) -> Money:
        return Money(sum(line.rated.amount for line in self.lines), self.currency)

    @property
    def accrued(self) -> Money:
        """What was used in its period and is not invoiced yet: before tax, and without what other periods lack."""
        return Money(sum(line.rated.amount for line in self.lines if line.adjusts is None), self.currency)

    @property
    def tax(self) -> Money:
        return Money(sum(one.units for one in self.taxes), self.currency)

    @property
    def total(self) -> Money:
        return self.subtotal + self.tax

    @property
    def credited(self) -> Money:
        return Money(sum(credit.units for credit in self.credits), self.currency)

    @property
    def amount_due(self) -> Money:
        return self.total - self.credited


def taxed(draft: Draft, rule: TaxRule | None) -> Draft:
    """The draft with its tax: once on the sum of its lines, before any credit."""
    if rule is None:
        return draft
    if rule.kind is not TaxKind.STANDARD:
        return replace(draft, tax_note=TaxNote(kind=rule.kind.value, text=rule.note))  # type: ignore[arg-type]
    return replace(draft, taxes=(TaxAmount(rule.name, rule.rate, tax_on(draft.subtotal.units, rule.rate)),))


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
        name = f"{title}, {rated.note}" if rated.note else title
        name = f"{name}, used by {consumer.name}" if consumer.reseller else name
        if evidence.bridged_seconds:
            name = f"{name}, of it {evidence.bridged_seconds} s in bridged gaps"
        line = DraftLine(rated, evidence, consumer, name[:DESCRIPTION_MAX])
        by_payer.setdefault(consumer.reseller or consumer.slug, []).append(line)
    return [Draft(by_slug[slug], period, currency, _ordered(own)) for slug, own in sorted(by_payer.items())]


def adjustments(closed: Sequence[Draft]) -> dict[str, tuple[DraftLine, ...]]:
    """By payer, what invoiced periods lack, as lines of another invoice that name their period."""
    found: dict[str, tuple[DraftLine, ...]] = {}
    for draft in closed:
        name = f"Adjustment of {draft.period.start:%Y-%m}: "
        lines = (
            replace(line, adjusts=draft.period, description=(name + line.description)[:DESCRIPTION_MAX])
            for line in draft.lines
        )
        found[draft.payer.slug] = found.get(draft.payer.slug, ()) + tuple(lines)
    return found


def adjusted(draft: Draft, lines: Sequence[DraftLine]) -> Draft:
    """The draft with adjustments, and never below zero.

    What is to be given back uses up what is to be paid, oldest period first, the last line in part. The rest is carried:
    it was not charged, so the next invoice finds it again.
    """
    whole = _ordered([*draft.lines, *lines])
    left = sum(line.rated.amount for line in whole if line.rated.amount > 0)
    kept = [line for line in whole if line.rated.amount >= 0]
    carried: list[DraftLine] = []
    for line in sorted((line for line in whole if line.rated.amount < 0), key=lambda line: line.rated.key.start):
        units = min(-line.rated.amount, left)
        left -= units
        if units:
            taken = part_of(line.rated, -units)
            kept.append(replace(line, rated=taken, evidence=evidence_of(taken, line.rated, line.evidence)))
        if units < -line.rated.amount:
            carried.append(replace(line, rated=part_of(line.rated, line.rated.amount + units)))
    return replace(draft, lines=_ordered(kept), carried=_ordered(carried))


_KINDS: Final = (LineKind.USAGE, LineKind.FEE, LineKind.DISCOUNT, LineKind.MINIMUM)


def _ordered(lines: Iterable[DraftLine]) -> tuple[DraftLine, ...]:
    """A period's own lines first, usage by who used it, then what was agreed; then what earlier ones lack."""

    def place(line: DraftLine) -> tuple[str, int, str, str, int, Decimal]:
        since = line.adjusts.start.isoformat() if line.adjusts else ""
        key, kind = line.rated.key, _KINDS.index(line.rated.kind)
        whose = line.consumer.slug if kind == 0 else ""
        return since, kind, whose, key.sku + key.start, line.rated.place, key.unit_price

    return tuple(sorted(lines, key=place))


def coverage_text(measured: int, billed: int) -> str:
    """The share of billed seconds in which the device was also seen: four decimals, rounded down. `1.0000` is all."""
    if not billed:
        return "1.0000"
    return str((Decimal(abs(measured) * 10_000 // abs(billed)) / 10_000).quantize(Decimal("0.0001")))

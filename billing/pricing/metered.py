"""From the quantities of meters to money: a pure function. One rounding a line, half-even."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.core.money import Asset
from billing.core.period import Span
from billing.core.quantity import less
from billing.events.meter import Meter, Total
from billing.pricing.rating import LineEvidence, LineKey, Metered, RatedLine, Share
from billing.pricing.tariff import Tariff, price_of, split

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: the digest of a line that only takes back what was charged."""


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """What a meter costs during a span: for everybody whose own price does not say otherwise, or for one tenant."""

    sku: str
    meter: str
    tariff: Tariff
    span: Span
    tenant_id: int | None = None


Charged = Mapping[LineKey, tuple[str, Span, Decimal, int]]
"""{line: (meter, span, quantity, amount)} of earlier invoices."""

Line = tuple[RatedLine, LineEvidence]


def wholes(
    totals: Iterable[Total], prices: Sequence[MeterPrice], meters: Sequence[Meter], currency: Asset
) -> list[Line]:
    """The lines of what meters count as if nothing was charged yet, by key."""
    by_name = {meter.name: meter for meter in meters}
    by_span = {(price.meter, price.span, price.tenant_id): price for price in prices}
    found = []
    for total in totals:
        if total.span is None:
            continue
        price = by_span.get((total.meter, total.span, total.tenant_id)) or by_span.get((total.meter, total.span, None))
        if price is not None and total.meter in by_name:
            found += _priced(total, price, by_name[total.meter], currency)
    return sorted(found, key=lambda one: one[0].key)


def _priced(total: Total, price: MeterPrice, meter: Meter, currency: Asset) -> list[Line]:
    tariff, lines = price.tariff, []
    for place, part in enumerate(split(tariff, total.quantity, tariff.placeholder)):
        amount = price_of(tariff, part.quantity, part.unit_price, currency)
        key = LineKey.of(total.tenant_id, price.sku, price.span, part.unit_price)
        metered = Metered(meter.name, meter.aggregation.value, meter.unit, tariff.size, part.quantity, total.events)
        shares = [Share(None, 0, amount)]
        line = RatedLine(key, price.span, 0, amount, shares, metered, package=tariff.package, note=part.note)
        line = replace(line, place=place)
        lines.append((line, LineEvidence(total.digest, 0, [])))
    return lines


def lacking(
    whole: Iterable[Line], prices: Sequence[MeterPrice], meters: Sequence[Meter], charged: Charged
) -> list[Line]:
    """What lines still lack of what they should be, and what was charged and should not be."""
    by_key = {line.key: (line, evidence) for line, evidence in whole}
    by_name = {meter.name: meter for meter in meters}
    known = {price.sku: price for price in prices if price.meter in by_name}
    at_start = {(price.sku, price.span.start.isoformat()): price for price in prices}
    lines = []
    for key in sorted({*by_key, *(key for key in charged if key.sku in known)}):
        wanted, evidence = by_key.get(key) or _nothing(
            key, charged[key][1], at_start.get((key.sku, key.start), known[key.sku]), by_name
        )
        assert wanted.metered is not None
        _, _, before, amount_before = charged.get(key, ("", wanted.span, Decimal(0), 0))
        quantity, amount = less(wanted.metered.quantity, before), wanted.amount - amount_before
        if quantity or amount:
            metered = replace(wanted.metered, quantity=quantity)
            shares = [Share(None, 0, amount)]
            lines.append((replace(wanted, amount=amount, shares=shares, metered=metered), evidence))
    return lines


def _nothing(key: LineKey, span: Span, price: MeterPrice, meters: Mapping[str, Meter]) -> Line:
    meter, tariff = meters[price.meter], price.tariff
    metered = Metered(meter.name, meter.aggregation.value, meter.unit, tariff.size, Decimal(0), 0)
    line = RatedLine(key, span, 0, 0, [], metered, package=tariff.package)
    return line, LineEvidence(NOTHING, 0, [])

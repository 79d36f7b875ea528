"""From the quantities of meters to money: a pure function. One rounding a line, half-even."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.core.money import Asset, half_even
from billing.core.period import Span
from billing.core.quantity import less
from billing.events.meter import Meter, Total
from billing.pricing.rating import LineEvidence, LineKey, Metered, RatedLine, Share

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: the digest of a line that only takes back what was charged."""


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """`per_unit` is the price of `unit_size` units of a meter, during a span."""

    sku: str
    meter: str
    per_unit: Decimal
    unit_size: int
    span: Span


Charged = Mapping[LineKey, tuple[str, Span, Decimal, int]]
"""{line: (meter, span, quantity, amount)} of earlier invoices."""


def price_of(quantity: Decimal, price: Decimal, unit_size: int, currency: Asset) -> int:
    """The price of a quantity, rounded once, half-even."""
    units, unit_parts = quantity.as_integer_ratio()
    numerator, denominator = price.as_integer_ratio()
    return half_even(units * numerator * 10**currency.exponent, unit_parts * denominator * unit_size)


def rate_meters(
    totals: Iterable[Total],
    prices: Sequence[MeterPrice],
    meters: Sequence[Meter],
    charged: Charged,
    currency: Asset,
) -> list[tuple[RatedLine, LineEvidence]]:
    """Lines for what meters count and was not charged yet; also where late events leave less than was charged.

    The whole line is rated and what was charged is taken off, as for time.
    """
    found = {
        LineKey.of(total.tenant_id, price.sku, price.span, price.per_unit): (total, price)
        for total in totals
        for price in prices
        if (price.meter, price.span) == (total.meter, total.span)
    }
    by_name = {meter.name: meter for meter in meters}
    known = {price.sku: price for price in prices if price.meter in by_name}
    at_start = {(price.sku, price.span.start.isoformat()): price for price in prices}
    lines = []
    for key in sorted({*found, *(key for key in charged if key.sku in known)}):
        total, price = found.get(key, (None, at_start.get((key.sku, key.start), known[key.sku])))
        _, span, before, amount_before = charged.get(key, (price.meter, price.span, Decimal(0), 0))
        whole = total.quantity if total else Decimal(0)
        quantity = less(whole, before)
        amount = price_of(whole, key.unit_price, price.unit_size, currency) - amount_before
        if not quantity and not amount:
            continue
        meter = by_name[price.meter]
        events, digest = (total.events, total.digest) if total else (0, NOTHING)
        metered = Metered(meter.name, meter.aggregation.value, meter.unit, price.unit_size, quantity, events)
        line = RatedLine(key, span, 0, amount, [Share(None, 0, amount)], metered)
        lines.append((line, LineEvidence(digest, 0, [])))
    return lines

"""From seconds to money: a pure function. One rounding a line, half-even; devices share a line's amount without remainder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from billing.core.money import Asset, half_even, largest_remainder
from billing.core.period import HOUR, Span


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """What one line of an invoice is about: whose usage, of what, at which price, in which part of the period."""

    tenant_id: int
    sku: str
    start: str
    unit_price: Decimal

    @staticmethod
    def of(tenant_id: int, sku: str, span: Span, unit_price: Decimal) -> "LineKey":
        return LineKey(tenant_id, sku, span.start.isoformat(), unit_price.normalize())


@dataclass(frozen=True, slots=True)
class LineEvidence:
    """What stands behind a line: a digest of its intervals, the seconds in which the device was also seen, and leased or
    claimed time that is not billed, as (reason, seconds)."""

    usage_digest: str
    measured_seconds: int
    excluded: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Quantity:
    """Seconds that one device was used at one price. Usage rebuilt from a document has no device."""

    tenant_id: int
    device_id: int | None
    sku: str
    unit_price: Decimal
    span: Span
    seconds: int

    @property
    def key(self) -> LineKey:
        return LineKey.of(self.tenant_id, self.sku, self.span, self.unit_price)


@dataclass(frozen=True, slots=True)
class Share:
    """A device's part of a line."""

    device_id: int | None
    seconds: int
    amount: int


@dataclass(frozen=True, slots=True)
class Metered:
    """What a line of a meter is about: `quantity` of its unit, out of so many events, priced by `unit_size` units."""

    meter: str
    aggregation: str
    unit: str
    unit_size: int
    quantity: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class RatedLine:
    """A line's quantity and amount, in the currency's smallest unit, and how devices share it. A line of a meter has no
    seconds, and one share without a device."""

    key: LineKey
    span: Span
    seconds: int
    amount: int
    shares: list[Share] = field(default_factory=list)
    metered: Metered | None = None


def price_of(seconds: int, unit_price: Decimal, currency: Asset) -> int:
    """The price of device-seconds at a price per device-hour, rounded once, half-even."""
    numerator, denominator = unit_price.as_integer_ratio()
    return half_even(seconds * numerator * 10**currency.exponent, denominator * HOUR)


def rate(
    quantities: Iterable[Quantity], charged: Mapping[LineKey, tuple[int, int]], currency: Asset
) -> list[RatedLine]:
    """Lines for what is used and not yet charged. `charged` holds (seconds, amount) that earlier invoices charged.

    The whole line is rated and what was charged is taken off, so that nothing is charged twice and roundings do not add
    up. A line of which nothing is left is left out.
    """
    by_key: dict[LineKey, list[Quantity]] = {}
    for quantity in quantities:
        by_key.setdefault(quantity.key, []).append(quantity)
    lines = []
    for key, parts in sorted(by_key.items()):
        parts.sort(key=lambda part: (part.device_id is None, part.device_id))
        seconds_before, amount_before = charged.get(key, (0, 0))
        seconds = sum(part.seconds for part in parts) - seconds_before
        amount = price_of(sum(part.seconds for part in parts), key.unit_price, currency) - amount_before
        if not seconds and not amount:
            continue
        amounts = largest_remainder(amount, [part.seconds for part in parts])
        whole = largest_remainder(seconds, [part.seconds for part in parts])
        shares = [Share(part.device_id, s, a) for part, s, a in zip(parts, whole, amounts, strict=True)]
        lines.append(RatedLine(key, parts[0].span, seconds, amount, shares))
    return lines

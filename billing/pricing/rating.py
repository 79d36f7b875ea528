"""From seconds to money: a pure function. One rounding a line, half-even; devices share a line's amount without remainder."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from billing.core.money import Asset, half_even, largest_remainder
from billing.core.period import HOUR, Span
from billing.core.quantity import part


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
    """What stands behind a line: a digest of its intervals, the seconds in which the device was also seen, leased or
    claimed time that is not billed, as (reason, seconds), and the seconds that are billed because a gap was bridged."""

    usage_digest: str
    measured_seconds: int
    excluded: list[tuple[str, int]]
    bridged_seconds: int = 0


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


NO_EVIDENCE: Final = LineEvidence(hashlib.sha256().hexdigest(), 0, [])
"""What stands behind a line of which no usage is left."""


@dataclass(slots=True)
class Charged:
    """What was charged so far for a line, voids taken off; and of it, by device, (seconds, amount)."""

    span: Span
    seconds: int = 0
    amount: int = 0
    by_device: dict[int | None, tuple[int, int]] = field(default_factory=dict)

    def add(self, device_id: int | None, seconds: int, amount: int) -> None:
        known = self.by_device.get(device_id, (0, 0))
        self.by_device[device_id] = (known[0] + seconds, known[1] + amount)
        self.seconds, self.amount = self.seconds + seconds, self.amount + amount


def rate(quantities: Iterable[Quantity], charged: Mapping[LineKey, Charged], currency: Asset) -> list[RatedLine]:
    """Lines for what is used and not yet charged, or charged and no longer used (then negative).

    The whole line is rated and what was charged is taken off, so that nothing is charged twice and roundings do not add
    up; every device's share likewise. A line of which nothing is left is left out.
    """
    by_key: dict[LineKey, list[Quantity]] = {}
    for quantity in quantities:
        by_key.setdefault(quantity.key, []).append(quantity)
    lines = []
    for key in sorted({*by_key, *charged}):
        parts = sorted(by_key.get(key, ()), key=lambda part: (part.device_id is None, part.device_id))
        before = charged.get(key) or Charged(parts[0].span)
        whole = sum(part.seconds for part in parts)
        price = price_of(whole, key.unit_price, currency)
        seconds, amount = whole - before.seconds, price - before.amount
        if seconds or amount:
            amounts = largest_remainder(price, [part.seconds for part in parts]) if parts else []
            wanted = {part.device_id: (part.seconds, a) for part, a in zip(parts, amounts, strict=True)}
            lines.append(RatedLine(key, before.span, seconds, amount, _shares(wanted, before.by_device)))
    return lines


def difference(line: RatedLine, whole: LineEvidence, charged: "Charged | None") -> LineEvidence:
    """The evidence of a line of which a part was charged before: the coverage, exclusions and intervals of all of it, with
    measured seconds in proportion to the line's own."""
    if charged is None or not charged.seconds:
        return whole
    total = line.seconds + charged.seconds
    measured = _share(whole.measured_seconds, line.seconds, total) if total > 0 else line.seconds
    return LineEvidence(whole.usage_digest, measured, whole.excluded)


def evidence_of(part: RatedLine, line: RatedLine, evidence: LineEvidence) -> LineEvidence:
    """The evidence of a part of a line: measured and bridged seconds in proportion to its own."""
    if not line.seconds:
        return evidence
    measured = _share(evidence.measured_seconds, part.seconds, line.seconds)
    bridged = _share(evidence.bridged_seconds, part.seconds, line.seconds)
    return replace(evidence, measured_seconds=measured, bridged_seconds=bridged)


def _share(amount: int, part: int, whole: int) -> int:
    """`amount * part / whole`, towards zero."""
    found = abs(amount * part) // abs(whole)
    return found if (amount * part >= 0) == (whole > 0) else -found


Shares = Mapping[int | None, tuple[int, int]]


def _shares(wanted: Shares, before: Shares) -> list[Share]:
    """What every device's share still lacks."""
    devices = sorted({*wanted, *before}, key=lambda device: (device is None, device or 0))
    lacking = [
        Share(device, wanted.get(device, (0, 0))[0] - before.get(device, (0, 0))[0],
              wanted.get(device, (0, 0))[1] - before.get(device, (0, 0))[1])
        for device in devices
    ]  # fmt: skip
    return [share for share in lacking if share.seconds or share.amount]


def part_of(line: RatedLine, amount: int) -> RatedLine:
    """A part of a line that is worth `amount`, with the like part of its seconds or quantity; shares sum to it exactly. What
    is left of the line is left for later: a line is always what was not charged yet."""
    assert line.amount and 0 <= amount * (1 if line.amount > 0 else -1) <= abs(line.amount)
    if line.metered is not None:
        quantity = part(line.metered.quantity, abs(amount), abs(line.amount))
        metered = replace(line.metered, quantity=quantity)
        return replace(line, amount=amount, shares=[Share(None, 0, amount)], metered=metered)
    seconds = line.seconds * amount // line.amount
    shares, reached, taken = [], (0, 0), (0, 0)
    for share in line.shares:
        reached = (reached[0] + share.seconds, reached[1] + share.amount)
        upto = (
            reached[0] * seconds // line.seconds if line.seconds else 0,
            reached[1] * amount // line.amount,
        )
        shares.append(Share(share.device_id, upto[0] - taken[0], upto[1] - taken[1]))
        taken = upto
    return RatedLine(line.key, line.span, seconds, amount, [one for one in shares if one.seconds or one.amount])

"""From seconds to money: a pure function. One rounding a line, half-even; devices share a line's amount without remainder."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from billing.core.money import Asset, largest_remainder
from billing.core.period import Span
from billing.core.quantity import part
from billing.pricing.tariff import Tariff, price_of, split


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


class LineKind(StrEnum):
    """A line is of usage, or of what a payer agreed to beside prices."""

    USAGE = "usage"
    FEE = "fee"
    MINIMUM = "minimum"
    DISCOUNT = "discount"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Seconds that one device was used at one price. Usage rebuilt from a document has no device. `unit_price` is the flat
    price or the spot rate; where the price depends on the quantity, it is zero and `tariff` says how."""

    tenant_id: int
    device_id: int | None
    sku: str
    unit_price: Decimal
    span: Span
    seconds: int
    tariff: Tariff | None = None

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
    kind: LineKind = LineKind.USAGE
    package: int = 0
    """How many seconds or units a package holds, where the price is of whole packages."""
    note: str = ""
    """For people: which tier, which packages."""
    place: int = 0
    """The tier's place, so that people read them in order."""
    basis: LineKey | None = None
    """Where the price depends on the quantity: the key of all that was priced together."""

    @property
    def is_time(self) -> bool:
        return self.metered is None and self.kind is LineKind.USAGE


NO_EVIDENCE: Final = LineEvidence(hashlib.sha256().hexdigest(), 0, [])
"""What stands behind a line of which no usage is left."""


@dataclass(slots=True)
class Charged:
    """What was charged so far for a line, voids taken off; and of it, by device, (seconds, amount)."""

    span: Span
    seconds: int = 0
    amount: int = 0
    by_device: dict[int | None, tuple[int, int]] = field(default_factory=dict)
    kind: LineKind = LineKind.USAGE
    package: int = 0

    def add(self, device_id: int | None, seconds: int, amount: int) -> None:
        known = self.by_device.get(device_id, (0, 0))
        self.by_device[device_id] = (known[0] + seconds, known[1] + amount)
        self.seconds, self.amount = self.seconds + seconds, self.amount + amount


def rate(quantities: Iterable[Quantity], charged: Mapping[LineKey, Charged], currency: Asset) -> list[RatedLine]:
    """Lines for what is used and not yet charged, or charged and no longer used (then negative).

    The whole line is rated and what was charged is taken off, so that nothing is charged twice and roundings do not add
    up; every device's share likewise. A line of which nothing is left is left out.
    """
    return lacking(wholes(quantities, currency), charged)


def wholes(quantities: Iterable[Quantity], currency: Asset) -> list[RatedLine]:
    """The lines of a period as if nothing was charged yet, by key."""
    together: dict[LineKey, list[Quantity]] = {}
    for quantity in quantities:
        together.setdefault(quantity.key, []).append(quantity)
    lines = [line for key, parts in together.items() for line in _priced(key, parts, currency)]
    return sorted(lines, key=lambda line: (line.key.tenant_id, line.key.sku, line.key.start, line.place, line.key))


def _priced(basis: LineKey, used: Sequence[Quantity], currency: Asset) -> list[RatedLine]:
    """A line for each part of what was priced together. Devices take part in each in proportion to what they have left, so
    their seconds sum to their own and to the line's, and no device is in the dearer tier because of its number."""
    used = sorted(used, key=lambda one: (one.device_id is None, one.device_id))
    tariff = used[0].tariff or Tariff.flat(basis.unit_price)
    left = [one.seconds for one in used]
    lines = []
    for place, part_ in enumerate(split(tariff, Decimal(sum(left)), basis.unit_price)):
        seconds = int(part_.quantity)
        taken = largest_remainder(seconds, left)
        left = [before - one for before, one in zip(left, taken, strict=True)]
        amount = price_of(tariff, part_.quantity, part_.unit_price, currency)
        price = part_.unit_price.normalize()
        key = basis if price == basis.unit_price else replace(basis, unit_price=price)
        shares = [
            Share(one.device_id, own, units)
            for one, own, units in zip(used, taken, largest_remainder(amount, taken), strict=True)
        ]
        shares = [share for share in shares if share.seconds or share.amount]
        kept = None if key == basis and seconds == sum(one.seconds for one in used) else basis
        line = RatedLine(
            key, used[0].span, seconds, amount, shares,
            package=tariff.package, note=part_.note, place=place, basis=kept,
        )  # fmt: skip
        lines.append(line)
    return lines


def lacking(whole: Iterable[RatedLine], charged: Mapping[LineKey, Charged]) -> list[RatedLine]:
    """What lines still lack of what they should be, each device's share likewise; and what was charged and should not be."""
    by_key = {line.key: line for line in whole}
    lines = []
    for key in sorted({*by_key, *charged}):
        wanted, before = by_key.get(key), charged.get(key)
        if wanted is None:
            assert before is not None
            wanted = RatedLine(key, before.span, 0, 0, kind=before.kind, package=before.package)
        if before is None:
            if wanted.seconds or wanted.amount:
                lines.append(wanted)
            continue
        seconds, amount = wanted.seconds - before.seconds, wanted.amount - before.amount
        if seconds or amount:
            own = {share.device_id: (share.seconds, share.amount) for share in wanted.shares}
            shares = _shares(own, before.by_device)
            lines.append(replace(wanted, seconds=seconds, amount=amount, shares=shares))
    return lines


def difference(line: RatedLine, whole: LineEvidence, charged: "Charged | None") -> LineEvidence:
    """The evidence of a line of which a part was charged before: the coverage, exclusions and intervals of all of it, with
    measured seconds in proportion to the line's own."""
    if charged is None or not charged.seconds:
        return whole
    total = line.seconds + charged.seconds
    measured = _share(whole.measured_seconds, line.seconds, total) if total > 0 else line.seconds
    return LineEvidence(whole.usage_digest, measured, whole.excluded)


def part_evidence(parts: Sequence[RatedLine], whole: LineEvidence) -> dict[LineKey, LineEvidence]:
    """The evidence of lines that were priced together, by key: measured and bridged seconds in proportion to their own. What
    was excluded is told once."""
    seconds = sum(line.seconds for line in parts)
    if len(parts) == 1 or not seconds:
        return {line.key: whole for line in parts}
    return {
        line.key: replace(
            whole,
            measured_seconds=_share(whole.measured_seconds, line.seconds, seconds),
            bridged_seconds=_share(whole.bridged_seconds, line.seconds, seconds),
            excluded=whole.excluded if place == 0 else [],
        )
        for place, line in enumerate(parts)
    }


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
    return replace(line, seconds=seconds, amount=amount, shares=[one for one in shares if one.seconds or one.amount])

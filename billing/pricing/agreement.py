"""What a payer agreed to beside prices: fees, discounts, minimums. A pure function of what all its usage in a period costs.

First discounts, each of the gross price of its scope: percentages, then fixed amounts, never more than is left of the scope.
Then minimums: what the discounted scope lacks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from billing.core.money import half_even, largest_remainder
from billing.core.period import Span
from billing.pricing.rating import LineKey, LineKind, RatedLine, Share


class AgreementKind(StrEnum):
    FEE = "fee"
    MINIMUM = "minimum"
    DISCOUNT = "discount"


@dataclass(frozen=True, slots=True)
class Agreement:
    """`skus` is its scope: of a discount, without any, all usage; of a minimum, everything. Fees are named by their code.

    `amount` is for a whole period, in the currency's smallest unit; with `prorate`, a part of a period has its part of it.
    `tenant_id` None is everybody.
    """

    kind: AgreementKind
    code: str
    title: str
    tenant_id: int | None
    skus: frozenset[str]
    amount: int | None
    percent: Decimal | None
    span: Span
    prorate: bool = True

    def amount_in(self, period: Span, whole: Span | None = None) -> int:
        """Its amount for the part of a period in which it holds, by seconds, rounded half-even. `whole` is the payer's period,
        where only a part of it is invoiced."""
        held = self.span.overlap(period)
        if held is None or self.amount is None:
            return 0
        if not self.prorate:
            return self.amount
        start, end = held.seconds
        first, last = (whole or period).seconds
        return half_even(self.amount * (end - start), last - first)

    def __str__(self) -> str:
        what = f"{self.percent:f} %" if self.percent is not None else f"{self.amount} (smallest units) a period"
        scope = f" on {', '.join(sorted(self.skus))}" if self.skus else ""
        return f"{self.kind} of {what}{scope}"


@dataclass(frozen=True, slots=True)
class Invoiced:
    """Which part of which of its periods a payer is invoiced for. Before it is over it is not `final`."""

    payer_id: int
    period: Span
    whole: Span
    final: bool = True


def lines(agreements: Iterable[Agreement], usage: Sequence[RatedLine], of: Invoiced) -> list[RatedLine]:
    """The lines of a payer's agreements, as if nothing was charged yet. `usage` is all of its usage in the period, whole.

    Before a period is over (`final` is false) only discounts count: fees and minimums are for the whole of it.
    """
    mine = sorted(
        (one for one in agreements if one.tenant_id in (None, of.payer_id) and one.span.overlap(of.period) is not None),
        key=lambda one: (one.amount is not None, one.code),
    )
    fees = [one for one in mine if one.kind is AgreementKind.FEE and of.final]
    found = [_line(one, LineKind.FEE, of, [Share(None, 0, _amount(one, of))]) for one in fees]
    net = [(line, line.amount) for line in (*usage, *found)]
    for one in mine:
        if one.kind is AgreementKind.DISCOUNT and (line := _discount(one, net, of)) is not None:
            found.append(line)
    for one in mine:
        if one.kind is AgreementKind.MINIMUM and of.final:
            scope = sum(units for line, units in net if not one.skus or line.key.sku in one.skus)
            lacking = _amount(one, of) - scope
            if lacking > 0:
                found.append(_line(one, LineKind.MINIMUM, of, [Share(None, 0, lacking)]))
    return [line for line in found if line.amount]


def _amount(one: Agreement, of: Invoiced) -> int:
    return one.amount_in(of.period, of.whole)


def _discount(one: Agreement, net: list[tuple[RatedLine, int]], of: Invoiced) -> RatedLine | None:
    """What a discount takes off; `net` is left as what then remains of each line. A percentage is of the usage while the
    discount holds: a part of a period has its part of it, by seconds."""
    scope = [i for i, (line, left) in enumerate(net) if left > 0 and _in_scope(one, line)]
    if not scope:
        return None
    gross = [net[i][0].amount for i in scope]
    left = sum(net[i][1] for i in scope)
    wanted = _amount(one, of) if one.percent is None else _percentage(one, sum(gross), of.period)
    taken = min(wanted, left)
    if taken <= 0:
        return None
    rest = _capped(taken, gross, [net[i][1] for i in scope])
    by_device: dict[int | None, int] = {}
    for i, units in zip(scope, rest, strict=True):
        line, before = net[i]
        net[i] = (line, before - units)
        weights = [max(0, share.amount) for share in line.shares] or [0]
        devices = [share.device_id for share in line.shares] or [None]
        for device, part in zip(devices, largest_remainder(units, weights), strict=True):
            by_device[device] = by_device.get(device, 0) - part
    shares = [Share(device, 0, units) for device, units in by_device.items() if units]
    percent = "" if one.percent is None else f"{one.percent:f} %"
    return replace(_line(one, LineKind.DISCOUNT, of, shares), note=percent)


def _in_scope(one: Agreement, line: RatedLine) -> bool:
    return line.key.sku in one.skus if one.skus else line.kind is LineKind.USAGE


def _percentage(one: Agreement, gross: int, period: Span) -> int:
    assert one.percent is not None
    numerator, denominator = one.percent.as_integer_ratio()
    held = one.span.overlap(period)
    assert held is not None
    (start, end), (first, last) = held.seconds, period.seconds
    seconds, of = (end - start, last - first) if one.prorate else (1, 1)
    return half_even(gross * numerator * seconds, 100 * denominator * of)


def _capped(taken: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Split `taken` by weight, no part above its cap; the caps hold all of it."""
    parts = [min(part, cap) for part, cap in zip(largest_remainder(taken, weights), caps, strict=True)]
    over = taken - sum(parts)
    for i, cap in enumerate(caps):
        more = min(over, cap - parts[i])
        parts[i] += more
        over -= more
    assert over == 0
    return parts


def _line(one: Agreement, kind: LineKind, of: Invoiced, shares: list[Share]) -> RatedLine:
    shares = sorted(shares, key=lambda share: (share.device_id is None, share.device_id or 0))
    key = LineKey.of(of.payer_id, one.code, of.period, Decimal(0))
    return RatedLine(key, of.period, 0, sum(share.amount for share in shares), shares, kind=kind)

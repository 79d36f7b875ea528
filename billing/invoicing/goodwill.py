"""Credit notes in part: what may still be taken off an invoice's lines, and what a wish comes to. Pure.

Such a credit is goodwill, not a correction of usage: the usage stays charged, so that no later rating charges it again. What
a correction gives back afterwards (an adjustment) is never more than what was charged less what was given as goodwill.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset, decimal_text, largest_remainder
from billing.invoicing.draft import DraftLine
from billing.invoicing.tax import TaxAmount, tax_back
from billing.pricing.rating import LineKey, evidence_of, part_of


@dataclass(frozen=True, slots=True)
class Wish:
    """What to take off, before tax: an amount or all that is left; of one line, or spread over all of them."""

    line: int | None = None
    units: int | None = None


@dataclass(frozen=True, slots=True)
class Creditable:
    """An invoice's lines in order, and what was taken off them so far by position; amounts before tax."""

    number: str
    currency: Asset
    amounts: Sequence[int]
    taxes: Sequence[TaxAmount] = ()
    taken: Mapping[int, int] = field(default_factory=dict)

    @property
    def subtotal(self) -> int:
        return sum(self.amounts)

    def left_of(self, position: int) -> int:
        return max(0, self.amounts[position - 1] - self.taken.get(position, 0))

    @property
    def left(self) -> int:
        """Lines below zero count: an invoice never gives back more than it asked for."""
        return self.subtotal - sum(self.taken.values())


@dataclass(frozen=True, slots=True)
class Taken:
    """What a credit note takes off lines, by position and before tax, with the tax that comes back."""

    lines: Mapping[int, int]
    taxes: Sequence[TaxAmount] = ()

    @property
    def net(self) -> int:
        return sum(self.lines.values())

    @property
    def total(self) -> int:
        return self.net + sum(one.units for one in self.taxes)


def take(invoice: Creditable, wish: Wish) -> Taken:
    """What a wish comes to. Raises NotFound for a line that is not there, Conflict when less is left, Invalid for nothing."""
    if wish.line is not None and not 1 <= wish.line <= len(invoice.amounts):
        raise NotFound(f"{invoice.number} has no line {wish.line}", remedy=f"it has {len(invoice.amounts)} lines")
    if wish.units is not None and wish.units <= 0:
        raise Invalid("a credit is more than nothing", remedy="--amount 10.00")
    among = [wish.line] if wish.line is not None else list(range(1, len(invoice.amounts) + 1))
    lefts = {position: invoice.left_of(position) for position in among}
    left = min(sum(lefts.values()), invoice.left)
    units = left if wish.units is None else wish.units
    if left <= 0 or units > left:
        place = invoice.number if wish.line is None else f"line {wish.line} of {invoice.number}"
        rest = f"{decimal_text(max(0, left), invoice.currency.exponent)} {invoice.currency.code}"
        raise Conflict(f"only {rest} before tax can still be credited on {place}")
    shares = dict(zip(lefts, largest_remainder(units, list(lefts.values())), strict=True))
    before = sum(invoice.taken.values())
    taxes = tax_back(invoice.taxes, invoice.subtotal, before, units)
    return Taken({position: share for position, share in shares.items() if share}, taxes)


def not_twice(lines: Iterable[DraftLine], net: Mapping[LineKey, int]) -> tuple[DraftLine, ...]:
    """Adjustments without what was given back already as goodwill. `net` is what was charged less that, by line, where there
    was any. A line that takes back more is cut to it; nothing of it is left for later invoices either, until more is charged."""
    kept = []
    for line in lines:
        floor = -max(0, net[line.rated.key]) if line.rated.key in net else line.rated.amount
        if line.rated.amount >= min(0, floor):
            kept.append(line)
        elif floor:
            part = part_of(line.rated, floor)
            kept.append(replace(line, rated=part, evidence=evidence_of(part, line.rated, line.evidence)))
    return tuple(kept)

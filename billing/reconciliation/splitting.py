"""How money that came in for something else is split over the invoices that a person named. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.core.errors import Invalid
from billing.core.money import Asset, Money


@dataclass(frozen=True, slots=True)
class Target:
    """An invoice, what it still owes, and how much of the money it shall have; None: as much as it takes."""

    number: str
    remaining: int
    wanted: int | None = None


def shares(total: int, targets: Sequence[Target], currency: Asset) -> list[int]:
    """What each invoice gets out of a total: first those with an amount, then the others in the order given.

    Raises Invalid for an amount that the invoice does not owe, or the money is not worth; and when nothing is left for one.
    """
    for one in targets:
        if one.wanted is not None and not 0 < one.wanted <= one.remaining:
            raise Invalid(
                f"{one.number} owes {Money(one.remaining, currency)}, so it cannot take {Money(one.wanted, currency)}",
                remedy="leave the amount out: it takes what it owes",
            )
    rest = total - sum(one.wanted or 0 for one in targets)
    if rest < 0:
        raise Invalid(
            f"the money is worth {Money(total, currency)}: {Money(-rest, currency)} less than what it shall pay",
            remedy="name smaller amounts",
        )
    found = []
    for one in targets:
        share = min(one.remaining, rest) if one.wanted is None else one.wanted
        if one.wanted is None:
            rest -= share
        if share <= 0:
            raise Invalid(f"nothing is left for {one.number}", remedy="leave it out, or name amounts")
        found.append(share)
    return found


def spread(values: Sequence[int], wanted: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Which transfer pays how much of which share: of each transfer its (place in `wanted`, units). Transfers are used up in the
    order given. What is wanted is not more than there is."""
    assert sum(wanted) <= sum(values)
    parts: list[list[tuple[int, int]]] = []
    place, missing = 0, list(wanted)
    for value in values:
        mine: list[tuple[int, int]] = []
        while value > 0 and place < len(missing):
            part = min(value, missing[place])
            mine.append((place, part))
            value -= part  # noqa: PLW2901
            missing[place] -= part
            place += missing[place] == 0
        parts.append(mine)
    return parts

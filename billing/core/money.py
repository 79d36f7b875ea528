"""Money is a whole number of an asset's smallest unit. Like meets like, or it raises. No float, ever."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from billing.core.errors import Invalid

UNITS_MAX: Final = 10**78 - 1
"""What NUMERIC(78,0) holds: every uint256 fits."""

EXACT: Final = Context(prec=160)
"""Sums and shifts of what UNITS_MAX and an asset's decimals allow lose nothing in it."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,40}))?")


@dataclass(frozen=True, slots=True, order=True)
class Asset:
    """A currency or a token. `exponent` is how many decimals one whole unit has."""

    code: str
    exponent: int

    def __post_init__(self) -> None:
        if not 0 <= self.exponent <= 36:
            raise Invalid(f"asset {self.code} cannot have {self.exponent} decimals")


@dataclass(frozen=True, slots=True)
class Money:
    """`units` of the asset's smallest unit; may be negative."""

    units: int
    asset: Asset

    def __post_init__(self) -> None:
        assert type(self.units) is int, "money is counted in int"
        if abs(self.units) > UNITS_MAX:
            raise Invalid(f"{self.asset.code} amount is out of range")

    def _like(self, other: "Money") -> int:
        if other.asset != self.asset:
            raise Invalid(f"cannot mix {self.asset.code} with {other.asset.code}")
        return other.units

    def __add__(self, other: "Money") -> "Money":
        return Money(self.units + self._like(other), self.asset)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.units - self._like(other), self.asset)

    def __neg__(self) -> "Money":
        return Money(-self.units, self.asset)

    def __lt__(self, other: "Money") -> bool:
        return self.units < self._like(other)

    def __le__(self, other: "Money") -> bool:
        return self.units <= self._like(other)

    def __str__(self) -> str:
        return f"{decimal_text(self.units, self.asset.exponent)} {self.asset.code}"

    def text(self) -> str:
        """The plain decimal string, with all its decimals: `"12.50"`."""
        return decimal_text(self.units, self.asset.exponent)


def decimal_text(units: int, exponent: int) -> str:
    """`units` with the point put back: `decimal_text(1250, 2) == "12.50"`."""
    sign, digits = ("-" if units < 0 else ""), str(abs(units)).rjust(exponent + 1, "0")
    return sign + (digits if exponent == 0 else f"{digits[:-exponent]}.{digits[-exponent:]}")


def parse_units(text: str, asset: Asset) -> Money:
    """Read a decimal string exactly. Raises Invalid when it has more decimals than the asset, or is no number."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r} is not an amount", remedy="write it as digits with an optional point: 12.50")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if len(fraction) > asset.exponent:
        raise Invalid(f"{text!r} has more decimals than {asset.code} ({asset.exponent})")
    units = int(whole + fraction.ljust(asset.exponent, "0"))
    return Money(-units if sign else units, asset)


def parse_rate(text: str) -> Decimal:
    """Read a non-negative decimal string exactly as a Decimal: prices and rates."""
    match = _DECIMAL.fullmatch(text)
    if match is None or match.group(1):
        raise Invalid(f"{text!r} is not a price", remedy='write it as a quoted decimal: "2.49"')
    return Decimal(text)


def half_even(numerator: int, denominator: int) -> int:
    """Divide and round to the nearest; a tie goes to the even neighbour. The one rounding of an invoice line."""
    assert denominator > 0
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (1 if twice > denominator or (twice == denominator and quotient % 2) else 0)


def ceil_div(numerator: int, denominator: int) -> int:
    """Divide and round up: what a payer is asked for."""
    assert denominator > 0
    return -(-numerator // denominator)


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to non-negative `weights`; the parts sum to `total`. Ties go to the earlier part.

    All weights zero: the first part takes everything, so that nothing is lost.
    """
    assert weights and all(weight >= 0 for weight in weights)
    whole = sum(weights)
    if len(weights) == 1 or whole == 0:
        return [total] + [0] * (len(weights) - 1)
    sign = -1 if total < 0 else 1
    parts = [abs(total) * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(abs(total) * weights[i] % whole), i))
    for i in by_remainder[: abs(total) - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]

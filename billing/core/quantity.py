"""Quantities of meters: exact decimal numbers. Python's own arithmetic rounds Decimals at 28 digits; this one never does."""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from billing.core.errors import Invalid

WHOLE_DIGITS_MAX: Final = 38
FRACTION_DIGITS_MAX: Final = 18
PATTERN: Final = rf"^[0-9]{{1,{WHOLE_DIGITS_MAX}}}(\.[0-9]{{1,{FRACTION_DIGITS_MAX}}})?$"
"""A quantity as one event states it, as text. The same words for Python and PostgreSQL."""

_QUANTITY: Final = re.compile(PATTERN)
_EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])


def parse(text: str) -> Decimal:
    """Read a quantity. Raises Invalid for what is no plain, non-negative decimal of at most 38 and 18 digits."""
    if not text.isascii() or _QUANTITY.match(text) is None or text.endswith("\n"):
        raise Invalid(
            f"{text[:60]!r} is no quantity",
            remedy=f"write a decimal, not negative, of at most {WHOLE_DIGITS_MAX} digits before the point and"
            f" {FRACTION_DIGITS_MAX} behind it",
        )
    return Decimal(text)


def plain(value: Decimal) -> str:
    """The one spelling: no exponent, no zeros behind the last digit that counts, no minus before zero."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def less(value: Decimal, taken: Decimal) -> Decimal:
    """The difference, exact."""
    return _EXACT.subtract(value, taken)


def part(value: Decimal, numerator: int, denominator: int) -> Decimal:
    """`value * numerator / denominator`, cut off behind the last digit of `value`. The share is between nothing and all."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int) and 0 <= numerator <= denominator
    whole = int("".join(map(str, digits)) or "0") * numerator // denominator
    return Decimal((sign, tuple(map(int, str(whole))), exponent))


def total(values: "list[Decimal]") -> Decimal:
    """The sum, exact."""
    found = Decimal(0)
    for value in values:
        found = _EXACT.add(found, value)
    return found

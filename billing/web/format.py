"""How pages write amounts, times and quantities: the one place for it. All are filters in templates too."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final

from billing.core.money import Money, decimal_text, half_even
from billing.core.period import FOREVER, Span, month_of

NOTHING: Final = "–"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def grouped(text: str) -> str:
    """A decimal string with thousands apart: `1,234.50`."""
    sign = "−" if text.startswith("-") else ""
    whole, dot, fraction = text.lstrip("-").partition(".")
    return f"{sign}{int(whole):,}{dot}{fraction}"


def amount(money: Money) -> str:
    """`1,234.50 USD`."""
    return f"{grouped(money.text())} {money.asset.code}"


def units(value: int, exponent: int) -> str:
    """So many of a currency's smallest unit, without its name: `1,234.50`."""
    return grouped(decimal_text(value, exponent))


def percent(basis_points: int) -> str:
    """`2.5 %`."""
    text = decimal_text(basis_points, 2).rstrip("0").rstrip(".")
    return f"{text} %"


def day(at: date | None) -> str:
    """`1 Oct 2026`; of a moment its day in UTC."""
    if at is None or (isinstance(at, datetime) and at >= FOREVER):
        return NOTHING
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def days(of: Span) -> str:
    """A span by its days, shorter within a month: `1 – 31 Oct 2026`."""
    last = of.end - timedelta(seconds=1)
    if (of.start.year, of.start.month) == (last.year, last.month):
        return f"{of.start.day} – {day(last)}" if of.start.day != last.day else day(last)
    return f"{day(of.start)} – {day(last)}"


def moment(at: datetime | None) -> str:
    """`1 Oct 2026, 14:03 UTC`."""
    return NOTHING if at is None or at >= FOREVER else f"{day(at)}, {at:%H:%M} UTC"


def recent_months(now: datetime, count: int) -> list[str]:
    """This month and the ones before it, as `2026-10`: for a choice."""
    found, current = [], month_of(now)
    for _ in range(count):
        found.append(f"{current.start:%Y-%m}")
        current = month_of(current.start - timedelta(days=1))
    return found


def iso(at: datetime) -> str:
    """For `<time datetime>`."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def hours(seconds: int) -> str:
    """Seconds as hours with one decimal: `1,234.5 h`."""
    return f"{grouped(decimal_text(half_even(seconds, 360), 1))} h"


def count(number: int) -> str:
    return grouped(str(number))


def short(text: str) -> str:
    """A long address or hash, its ends: `0x1234…abcd`."""
    return text if len(text) <= 14 else f"{text[:8]}…{text[-4:]}"


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "grouped": grouped, "amount": amount, "units": units, "day": day, "moment": moment, "days": days,
    "iso": iso, "hours": hours,
    "count_text": count, "short": short, "percent": percent,
}  # fmt: skip

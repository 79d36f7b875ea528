"""Figures and times as people read them. Money keeps all its decimals; nothing is shortened."""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from billing.core.money import Asset, decimal_text, half_even
from billing.core.period import HOUR, parse_time
from billing.invoicing.document import CreditNoteDocument, InvoiceDocument

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_HOUR_DIGITS: Final = 4


def thousands(text: str) -> str:
    """`1234567.50` with commas: `1,234,567.50`."""
    whole, point, fraction = text.partition(".")
    return f"{int(whole):,}{point}{fraction}" if not whole.startswith("-0") else text


def money(units: int, asset: Asset) -> str:
    """`1,234.50 USD`."""
    return f"{thousands(decimal_text(units, asset.exponent))} {asset.code}"


def amount(text: str) -> str:
    """A decimal amount of a document: `1,234.50`."""
    return thousands(text)


def signed(text: str) -> str:
    """A decimal amount that may be negative: `−1,234.50`."""
    return f"−{thousands(text[1:])}" if text.startswith("-") else thousands(text)


def price(text: str) -> str:
    """A unit price, with two decimals at least: `2` is `2.00`."""
    whole, _, fraction = text.partition(".")
    return thousands(f"{whole}.{fraction.ljust(2, '0')}")


def rate(text: str) -> str:
    """What one token counts as, with six decimals at most: the amount beside it is exact."""
    shown = decimal_text(int(Decimal(text).scaleb(6)), 6)
    return shown.rstrip("0").rstrip(".")


def tokens(units: int, decimals: int) -> str:
    """A token amount, exact, without the zeros behind the second decimal and without commas: wallets read it."""
    text = decimal_text(units, decimals)
    whole, point, fraction = text.partition(".")
    if not point:
        return text
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def hours(seconds: int) -> str:
    """Seconds as hours: two decimals when they are exact, else four."""
    units = half_even(seconds * 10**_HOUR_DIGITS, HOUR)
    text = decimal_text(units, _HOUR_DIGITS)
    return thousands(text.removesuffix("00") if text.endswith("00") else text)


def hours_are_exact(seconds: int) -> bool:
    return seconds * 10**_HOUR_DIGITS % HOUR == 0


def percent(share: str) -> str:
    """A share of four decimals: `0.9987` is `99.87 %`."""
    whole, _, fraction = share.partition(".")
    hundredths = int(whole + fraction.ljust(_HOUR_DIGITS, "0")[:_HOUR_DIGITS])
    text = decimal_text(hundredths, 2)
    return f"{text.removesuffix('.00')} %"


def tax_rate(share: str) -> str:
    """`0.1` is `10 %`; a rate keeps all its decimals."""
    return f"{format((Decimal(share) * 100).normalize(), 'f')} %"


def in_tax_currency(document: InvoiceDocument | CreditNoteDocument) -> str:
    """The sentence that tells tax and total once more; empty when the document does not."""
    other, code = document.tax_currency, document.currency.code
    if other is None:
        return ""
    told = f"In {other.code}: tax {amount(other.tax)}, total {amount(other.total)}"
    return f"{told}; 1 {code} = {other.rate} {other.code} ({other.source}, {day(other.date + 'T00:00:00Z')})."


def day(at: datetime | str) -> str:
    """`14 November 2026`."""
    at = parse_time(at) if isinstance(at, str) else at
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def short_day(at: date) -> str:
    """`14 Nov`."""
    return f"{at.day} {_MONTHS[at.month - 1][:3]}"


def brief_day(at: date) -> str:
    """`14 Nov 2026`."""
    return f"{short_day(at)} {at.year}"


def moment(at: datetime | str) -> str:
    """`14 Nov 2026, 09:05:01 UTC`; without seconds when there are none."""
    at = parse_time(at) if isinstance(at, str) else at
    clock = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
    return f"{brief_day(at)}, {clock} UTC"


def period(start: str, end: str) -> str:
    """`October 2026` for a calendar month, else both ends."""
    return month_name(parse_time(start)) if is_month(start, end) else span(start, end)


def is_month(start: str, end: str) -> bool:
    """Whether it is a calendar month."""
    first, last = parse_time(start), parse_time(end)
    if (first.day, first.hour, first.minute, first.second) != (1, 0, 0, 0):
        return False
    return last == first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def month_name(at: datetime) -> str:
    """`October 2026`."""
    return f"{_MONTHS[at.month - 1]} {at.year}"


def span(start: str, end: str) -> str:
    """`1 Oct 2026, 00:00 to 8 Oct 2026, 00:00 UTC`."""
    return f"{moment(start).removesuffix(' UTC')} to {moment(end)}"


def fours(text: str) -> list[str]:
    """An address or hash in groups of four behind its `0x`, for the eye; they are put on the page without spaces."""
    return [text[:2], *(text[i : i + 4] for i in range(2, len(text), 4))]


def threes(text: str) -> list[str]:
    """A plain amount in groups of three before the point, for the eye only."""
    whole, point, fraction = text.partition(".")
    first = len(whole) % 3
    groups = [whole[:first]] if first else []
    groups += [whole[i : i + 3] for i in range(first, len(whole), 3)]
    groups[-1] += point + fraction
    return groups


def duration(seconds: int) -> str:
    """About how long: `8 seconds`, `3 minutes`, `2 hours`."""
    for size, name in ((HOUR, "hour"), (60, "minute")):
        if seconds >= 2 * size or seconds == size:
            count = -(-seconds // size)
            return f"{count} {name}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"

"""Reads spot rates from a CSV file. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from billing.core import table
from billing.core.errors import Invalid
from billing.core.money import parse_rate
from billing.core.period import Span, parse_time

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "from": ("start",),
    "to": ("until", "end"),
    "per_hour": ("rate", "price"),
}
RATES_MAX: Final = 100_000
ONE_HOUR: Final = timedelta(hours=1)


def parse(content: bytes) -> list[tuple[Span, Decimal]]:
    """The rates of a file, in order. One without an end holds until the next one begins; the last one, for an hour.

    Raises Invalid with the lines that are wrong, or that overlap.
    """
    found = table.read(content, COLUMNS, ("from", "per_hour"))
    if not found.rows and not found.errors:
        raise Invalid("the file has a header and no rates")
    if len(found.rows) > RATES_MAX:
        raise Invalid(f"the file has more than {RATES_MAX} rates", remedy="import it in parts")
    begun = []
    for line, row in found.rows:
        try:
            begun.append((parse_time(row["from"]), row.get("to", ""), _rate(row["per_hour"]), line))
        except Invalid as error:
            found.wrong(line, error)
    found.check()
    begun.sort()
    ends = [later[0] for later in begun[1:]] + [begun[-1][0] + ONE_HOUR]
    rates = []
    for (start, end, rate, line), until in zip(begun, ends, strict=True):
        try:
            rates.append((Span(start, parse_time(end) if end else until), rate, line))
        except Invalid as error:
            found.wrong(line, error)
    for (earlier, _, _), (later, _, line) in pairwise(rates):
        if earlier.end > later.start:
            found.wrong(line, f"overlaps the rate from {earlier}")
    found.check()
    return [(span, rate) for span, rate, _ in rates]


def _rate(text: str) -> Decimal:
    if len(text) > 36:
        raise Invalid(f"{text[:36]!r} has too many digits")
    return parse_rate(text)

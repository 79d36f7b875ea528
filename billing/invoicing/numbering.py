"""Invoice numbers: a series and a counter without gaps."""

import re

from billing.core.errors import Invalid

_NUMBER = re.compile(r"(.+)-(\d{6,15})")


def number_text(series: str, counter: int) -> str:
    """`INV-000042`."""
    return f"{series}-{counter:06d}"


def counter_of(number: str) -> tuple[str, int]:
    """(series, counter) of a number. Raises Invalid."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise Invalid(f"{number!r} is not an invoice number", remedy="like INV-000042")
    return match.group(1), int(match.group(2))


def credit_note_series(series: str) -> str:
    """Credit notes count in a series of their own."""
    return f"{series}-CN"

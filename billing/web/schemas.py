"""The words that requests are made of: text without control characters, times with an offset, and amounts as text."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from billing.core.errors import Invalid
from billing.core.period import FOREVER, parse_time, rfc3339

YEAR_MIN: Final = 2000
YEAR_MAX: Final = 2999


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


def _moment(text: str) -> str:
    try:
        at = parse_time(text)
    except Invalid as error:
        raise ValueError(str(error)) from None
    except OverflowError:
        raise ValueError("is out of range") from None
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise ValueError("is out of range")
    if at.microsecond:
        raise ValueError("must be a whole second")
    return rfc3339(at)


Text = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_printable)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
Moment = Annotated[str, StringConstraints(max_length=40), AfterValidator(_moment)]
"""An RFC 3339 time, or a date, which is its midnight in UTC. Kept as text in UTC: `2026-10-01T00:00:00Z`."""

Units = Annotated[str, StringConstraints(pattern=r"^\d{1,18}$")]


def end_text(at: datetime) -> str | None:
    """A time; null for what has no end yet."""
    return None if at >= FOREVER else rfc3339(at)

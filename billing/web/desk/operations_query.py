"""What the pages of operations share: who may see them, and how days and lists are asked for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid
from billing.core.period import Span, parse_time
from billing.metering.conservation import Category
from billing.tenants.keys import KeyRole
from billing.web.deps import cursor_row, cursor_text
from billing.web.desk.nav import Link
from billing.web.door import Page, Visitor

Reader = Annotated[Visitor, Depends(Page(KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR))]
"""Sees how the fleet and the daemon are."""

Operator = Annotated[Visitor, Depends(Page(KeyRole.OPERATOR))]
"""Changes leases, and asks endpoints."""

FinanceOnly = Annotated[Visitor, Depends(Page(KeyRole.FINANCE))]
"""Decides what is billed."""

Pricer = Annotated[Visitor, Depends(Page(KeyRole.OPERATOR, KeyRole.FINANCE))]
"""Tries price books."""

HOME: Final = Link("Operations", "/operations")
DAY: Final = timedelta(days=1)
PAGE_ROWS: Final = 50

LETTERS: Final = {
    Category.BILLED: "B", Category.IDLE: "I", Category.UNATTRIBUTED: "U", Category.MISSING: "M", Category.BLIND: "?",
    Category.EXCLUDED: "E", Category.DISPUTED: "D", Category.UNREAD: "R",
}  # fmt: skip
CLASSES: Final = {**{category: letter.lower() for category, letter in LETTERS.items()}, Category.BLIND: "q"}
MEANS: Final = {
    Category.BILLED: "charged to a tenant",
    Category.IDLE: "there, and nobody held it",
    Category.UNATTRIBUTED: "in use under a label that means no tenant",
    Category.MISSING: "the exporter answered without it",
    Category.BLIND: "nobody could see",
    Category.EXCLUDED: "let, and not billed",
    Category.DISPUTED: "two parties' labels at once",
    Category.UNREAD: "its window was never read",
}
TROUBLES: Final = (Category.UNATTRIBUTED, Category.DISPUTED, Category.MISSING, Category.BLIND, Category.UNREAD)
"""Time that somebody should look at."""


class Asked(BaseModel):
    """What narrows a list. An unknown field is refused: a misspelt filter must not list everything."""

    model_config = ConfigDict(extra="forbid")

    cursor: str = Field(default="", max_length=100)

    def before(self, kind: str) -> int:
        """The row before which this page begins; 0 for the newest. Raises Invalid for a cursor that this list never gave."""
        return cursor_row(kind, self.cursor) if self.cursor else 0


class AskedDays(Asked):
    """`first` and `last` are days in UTC, and both are in it; one alone is that day."""

    first: str = Field(default="", max_length=10, alias="from")
    last: str = Field(default="", max_length=10, alias="to")

    def span(self, default: Span, most: int) -> Span:
        """Whole days. Raises Invalid for what is no day, and for too many of them."""
        if not self.first and not self.last:
            return default
        start, last = day_at(self.first or self.last), day_at(self.last or self.first)
        if last < start:
            raise Invalid("the last day is before the first")
        if last - start >= timedelta(days=most):
            raise Invalid(f"at most {most} days at once")
        return Span(start, last + DAY)


def day_at(text: str) -> datetime:
    """The start of a day that was typed. Raises Invalid."""
    if len(text) != len("2026-10-31"):
        raise Invalid(f"{text!r} is not a day", remedy="write it like 2026-10-31")
    return parse_time(text)


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def day_text(at: datetime) -> str:
    """For links and date fields."""
    return f"{at:%Y-%m-%d}"


def last_day(span: Span) -> datetime:
    return span.end - DAY


def page_of(kind: str, rows: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], str]:
    """(rows of this page, cursor of the next one) out of one row more than a page has."""
    shown = rows[:PAGE_ROWS]
    return shown, cursor_text(kind, shown[-1]["id"]) if len(rows) > PAGE_ROWS else ""


def took(seconds: int) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`: how long, in one word."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"

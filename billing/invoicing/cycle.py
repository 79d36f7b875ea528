"""Billing periods: calendar months in UTC, due when they are over and late data had its time."""

from datetime import datetime, timedelta
from typing import Final

from billing.core.errors import Conflict
from billing.core.period import Span, month_of, rfc3339

GRACE: Final = timedelta(hours=24)


def closed_periods(since: datetime, now: datetime, grace: timedelta = GRACE) -> list[Span]:
    """The months from `since` on that are over, and whose grace has passed."""
    periods = []
    current = month_of(since)
    while current.end + grace <= now:
        periods.append(current)
        current = month_of(current.end)
    return periods


def require_over(period: Span, now: datetime) -> None:
    """Raises Conflict while a period is running: what is not over cannot be invoiced."""
    if now < period.end:
        raise Conflict(
            f"the period is not over before {rfc3339(period.end)}", remedy="use: stablemeter invoice preview"
        )

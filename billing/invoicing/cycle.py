"""Which periods are to be invoiced: those that are over, and late data had its time."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from billing.core.errors import Conflict
from billing.core.period import Span, rfc3339, subtract
from billing.tenants.cycle import MONTHLY, Cycle

GRACE: Final = timedelta(hours=24)


def closed_periods(since: datetime, now: datetime, grace: timedelta = GRACE, cycle: Cycle = MONTHLY) -> list[Span]:
    """The periods from `since` on that are over, and whose grace has passed."""
    return cycle.periods(since, now - grace)


def open_parts(period: Span, wanting: Iterable[int], covered: Mapping[int, Iterable[Span]]) -> dict[Span, set[int]]:
    """A period by its parts that payers were not invoiced for: all of it, but for who had another cycle before."""
    found: dict[Span, set[int]] = {}
    for payer in wanting:
        holes = [span.seconds for span in covered.get(payer, ())]
        for part in subtract([period.seconds], holes):
            found.setdefault(Span.from_seconds(part), set()).add(payer)
    return found


def require_over(period: Span, now: datetime) -> None:
    """Raises Conflict while a period is running: what is not over cannot be invoiced."""
    if now < period.end:
        raise Conflict(
            f"the period is not over before {rfc3339(period.end)}", remedy="use: stablemeter invoice preview"
        )

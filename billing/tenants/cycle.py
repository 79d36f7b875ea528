"""How often a payer is invoiced: periods of months, weeks or days that begin at midnight somewhere."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.core.errors import Invalid
from billing.core.period import Span

ANCHOR_MAX: Final = {"month": 28, "week": 7, "day": 1}


class Every(StrEnum):
    MONTH = "month"
    WEEK = "week"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Cycle:
    """Periods begin on day `anchor` of a month (1 to 28) or of a week (1 is Monday), at midnight in `timezone`; clock changes
    make some an hour longer or shorter. `threshold`, in the currency's smallest unit: what was used and not invoiced yet is
    invoiced within a period once it costs so much."""

    every: Every = Every.MONTH
    anchor: int = 1
    timezone: str = "UTC"
    threshold: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.anchor <= ANCHOR_MAX[self.every]:
            raise Invalid(f"a {self.every} cannot begin on day {self.anchor}", remedy=f"1 to {ANCHOR_MAX[self.every]}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Invalid(f"{self.timezone[:60]!r} is no time zone", remedy="like Australia/Brisbane") from None
        if self.threshold is not None and not 0 < self.threshold < 10**30:
            raise Invalid("a threshold is an amount above zero")

    def period_of(self, at: datetime) -> Span:
        """The period in which a moment lies."""
        local = at.astimezone(ZoneInfo(self.timezone)).date()
        if self.every is Every.DAY:
            first, after = local, local + timedelta(days=1)
        elif self.every is Every.WEEK:
            first = local - timedelta(days=(local.isoweekday() - self.anchor) % 7)
            after = first + timedelta(days=7)
        else:
            month = local if local.day >= self.anchor else local.replace(day=1) - timedelta(days=1)
            first = month.replace(day=self.anchor)
            after = (first.replace(day=1) + timedelta(days=31)).replace(day=self.anchor)
        return Span(*(self._midnight(day.year, day.month, day.day) for day in (first, after)))

    def _midnight(self, year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)

    def periods(self, since: datetime, until: datetime) -> list[Span]:
        """The periods from the one of `since` on that are over by `until`."""
        found = []
        current = self.period_of(since)
        while current.end <= until:
            found.append(current)
            current = self.period_of(current.end)
        return found

    def __str__(self) -> str:
        named = {Every.MONTH: f"monthly from day {self.anchor}", Every.WEEK: f"weekly from day {self.anchor}"}
        return f"{named.get(self.every, 'daily')}, {self.timezone}"


MONTHLY: Final = Cycle()

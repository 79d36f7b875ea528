"""How long a tenant's credit lasts. Pure: amounts are in the currency's smallest unit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from billing.core.errors import Invalid
from billing.core.money import Asset
from billing.core.period import FOREVER

DAY: Final = 86_400
RATE_DAYS: Final = 7
"""Over how many days the rate is taken, unless somebody asks for others."""
RATE_DAYS_MAX: Final = 90


class Level(StrEnum):
    """`exhausted`: what was used is as much as the credit, or more."""

    GOOD = "good"
    LOW = "low"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Terms:
    """A tenant that pays before it uses. Its credit is low below `low_units`, or when it lasts for fewer than `low_days` days."""

    low_units: int | None = None
    low_days: int | None = None
    suspend_at_zero: bool = False

    def __post_init__(self) -> None:
        if self.low_units is not None and self.low_units < 0:
            raise Invalid("the low balance is negative", remedy="--low 100.00")
        if self.low_days is not None and not 0 < self.low_days <= 3650:
            raise Invalid("low days are 1 to 3650", remedy="--low-days 7")


@dataclass(frozen=True, slots=True)
class Runway:
    """`held` is final credit, `pending` credit that waits for its chain; `accrued` was used and not invoiced. `per_day` is what is
    used up in a day at the present rate."""

    currency: Asset
    held: int
    pending: int
    accrued: int
    per_day: int
    at: datetime

    @property
    def available(self) -> int:
        """What is left once everything used so far is invoiced. Negative when it was not enough."""
        return self.held - self.accrued

    @property
    def seconds_left(self) -> int | None:
        """None when nothing is being used, so that it lasts for ever."""
        if self.available <= 0:
            return 0
        return self.available * DAY // self.per_day if self.per_day > 0 else None

    @property
    def days_left(self) -> int | None:
        """Whole days."""
        return None if self.seconds_left is None else self.seconds_left // DAY

    @property
    def runs_out_at(self) -> datetime | None:
        """None when it lasts for ever, or for longer than there are dates."""
        left = self.seconds_left
        if left is None or left > int((FOREVER - self.at).total_seconds()):
            return None
        return (self.at + timedelta(seconds=left)).replace(microsecond=0)


def per_day(used: int, seconds: int) -> int:
    """The rate of what was used in so many seconds, rounded up: better warned too soon."""
    return -(-used * DAY // seconds) if used > 0 and seconds > 0 else 0


def level(now: Runway, terms: Terms, was: Level = Level.GOOD) -> Level:
    """What was low is good again a tenth above the limit, so that nobody is told twice of one crossing."""
    if now.available <= 0:
        return Level.EXHAUSTED
    parts = 10 if was is Level.GOOD else 11
    low = terms.low_units is not None and now.available * 10 < terms.low_units * parts
    if terms.low_days is not None and now.seconds_left is not None:
        low = low or now.seconds_left * 10 < terms.low_days * DAY * parts
    return Level.LOW if low else Level.GOOD

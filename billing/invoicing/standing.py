"""May a tenant go on? A pure answer from what its payer owes, for schedulers and portals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from billing.core.money import Asset


class Standing(StrEnum):
    """`overdue`: something is due and not paid. `suspended`: it has been so for too long, and nothing is on its way; or
    it pays beforehand, and nothing is left."""

    GOOD = "good"
    OVERDUE = "overdue"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Debt:
    """What is left of an invoice, in its currency's smallest unit. `is_paying`: a payment was seen that does not count yet."""

    invoice: str
    currency: str
    exponent: int
    due_at: datetime
    remaining: int
    is_paying: bool


@dataclass(frozen=True, slots=True)
class Prepaid:
    """What a tenant that pays beforehand holds, and used and was not invoiced for when a tick looked last. `since` is since when it
    is as full as it is, so far as ticks know."""

    currency: Asset
    held: int
    accrued: int
    since: datetime
    looked_at: datetime

    @property
    def available(self) -> int:
        return self.held - self.accrued


@dataclass(frozen=True, slots=True)
class Judged:
    """`since` is when it began to be so; `suspends_at` when it will be worse, if nothing is paid. `overdue` are the debts."""

    standing: Standing
    since: datetime | None
    suspends_at: datetime | None
    overdue: tuple[Debt, ...]
    prepaid: Prepaid | None = None


def judge(debts: Sequence[Debt], now: datetime, suspend_after: timedelta | None) -> Judged:
    """A payment on its way holds a suspension up: who has paid is not cut off while the chain confirms. Without
    `suspend_after` nobody is ever suspended."""
    overdue = tuple(
        sorted((one for one in debts if one.remaining > 0 and one.due_at < now), key=lambda one: one.due_at)
    )
    if not overdue:
        return Judged(Standing.GOOD, None, None, ())
    idle = [one.due_at for one in overdue if not one.is_paying]
    if suspend_after is None or not idle:
        return Judged(Standing.OVERDUE, overdue[0].due_at, None, overdue)
    ends = idle[0] + suspend_after
    if ends <= now:
        return Judged(Standing.SUSPENDED, ends, None, overdue)
    return Judged(Standing.OVERDUE, overdue[0].due_at, ends, overdue)


def or_exhausted(judged: Judged, prepaid: Prepaid, *, suspends: bool) -> Judged:
    """The same with what is held beforehand: with nothing left of it, a tenant whose terms say so is suspended."""
    if not suspends or prepaid.available > 0 or judged.standing is Standing.SUSPENDED:
        return replace(judged, prepaid=prepaid)
    return replace(judged, standing=Standing.SUSPENDED, since=prepaid.since, suspends_at=None, prepaid=prepaid)

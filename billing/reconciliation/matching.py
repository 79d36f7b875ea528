"""Matching: what the transfers to an invoice's address pay. A pure function of the transfers that stand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from billing.core.money import Asset
from billing.reconciliation.valuation import PAR, value_at


class MatchKind(StrEnum):
    """What a transfer was, seen from its invoice or deposit address. The first eight count; the others wait for a person."""

    EXACT = "exact"
    PARTIAL = "partial"
    OVER = "over"
    TOLERATED = "tolerated"
    DUPLICATE = "duplicate"
    DUST = "dust"
    TOP_UP = "top_up"
    ASSIGNED = "assigned"
    WRONG_TOKEN = "wrong_token"  # noqa: S105
    AFTER_VOID = "after_void"
    UNISSUED = "unissued"
    NO_RATE = "no_rate"


@dataclass(frozen=True, slots=True)
class Owed:
    """An invoice, as matching needs it. Amounts are in the currency's smallest unit."""

    amount_due: int
    currency: Asset
    tolerance: int
    due_at: datetime
    given_up: bool = False
    """A person wrote off what is not paid."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A transfer that stands, in an accepted token. `credit_used` is credit from it that another invoice has used up.
    `rate` was recorded when it was booked, and never changes while it stands."""

    payment_id: int
    token: tuple[int, str]
    decimals: int
    units: int
    mined_at: datetime
    credit_used: int = 0
    rate: Decimal = PAR
    has_par: bool = True
    """Is the token one of the invoice's currency? If not, nothing is gained or lost against par."""
    assigned: int | None = None
    """A person applied so much of the tenant's credit from it, in the invoice's currency; it came in for something else."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a transfer's value went: `value == applied + credited`. `written_off` is a rest that is not asked for.
    `fx` is what it would be worth at par beyond its value; negative when it is worth more. What a person applied was the
    tenant's credit before: its value here is zero, and what is applied leaves the credit."""

    payment_id: int
    kind: MatchKind
    late: bool
    value: int
    applied: int
    credited: int
    written_off: int
    fx: int = 0


def allocate(owed: Owed, incoming: Sequence[Incoming]) -> list[Allocation]:
    """Allocate transfers to an invoice in the order given (chain order): first what is owed, the rest to the tenant's
    credit. A rest within the tolerance is written off, once something was paid."""
    allocations: list[Allocation] = []
    units: dict[tuple[tuple[int, str], Decimal], int] = {}
    remaining = owed.amount_due
    for one in incoming:
        late = one.mined_at > owed.due_at
        if one.assigned is not None:
            applied = min(max(0, one.assigned - one.credit_used), remaining)
            remaining -= applied
            allocations.append(Allocation(one.payment_id, MatchKind.ASSIGNED, late, 0, applied, -applied, 0))
            continue
        before = units.get((one.token, one.rate), 0)
        units[one.token, one.rate] = before + one.units
        value = _worth(one.rate, before, one, owed.currency)
        fx = _worth(PAR, before, one, owed.currency) - value if one.has_par else 0
        applied = min(max(0, value - one.credit_used), remaining)
        kind = _kind(value, remaining)
        remaining -= applied
        allocations.append(Allocation(one.payment_id, kind, late, value, applied, value - applied, 0, fx))
    if allocations and 0 < remaining <= owed.tolerance and remaining < owed.amount_due:
        allocations[-1] = replace(allocations[-1], kind=MatchKind.TOLERATED, written_off=remaining)
    return allocations


def unpaid(owed: Owed, allocations: Sequence[Allocation]) -> int:
    """What is left to pay; it is given up when a person decided so."""
    return owed.amount_due - sum(one.applied + one.written_off for one in allocations)


def _worth(rate: Decimal, before: int, one: Incoming, currency: Asset) -> int:
    """What a transfer adds to what came before it in its token at its rate."""
    after = value_at(rate, before + one.units, one.decimals, currency)
    return after - value_at(rate, before, one.decimals, currency)


def _kind(value: int, remaining: int) -> MatchKind:
    if value == 0:
        return MatchKind.DUST
    if remaining == 0:
        return MatchKind.DUPLICATE
    if value == remaining:
        return MatchKind.EXACT
    return MatchKind.PARTIAL if value < remaining else MatchKind.OVER

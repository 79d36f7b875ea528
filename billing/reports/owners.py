"""An owner's statement of a month: what each GPU brought in, the operator's fee, what was paid out, and what is owed then."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from billing.core.money import decimal_text
from billing.core.period import Span
from billing.db.engine import Session
from billing.owners import store
from billing.owners.share import Fee, Owner
from billing.owners.statement import Part
from billing.owners.store import settled
from billing.owners.store.settled import Earned, Paid
from billing.reports.table import Column, Kind

OWNER_STATEMENT: Final = (
    Column("kind"), Column("booked_on", Kind.DAY), Column("gpu"), Column("host"), Column("currency"),
    Column("collected", Kind.AMOUNT), Column("fee", Kind.AMOUNT), Column("net", Kind.AMOUNT),
    Column("paid_out", Kind.AMOUNT), Column("tx_hash"), Column("balance", Kind.AMOUNT),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """One currency of an owner's month. `before` is what was owed when it began, `paid_before` all that was paid out until then;
    amounts are in the smallest unit."""

    currency: str
    exponent: int
    before: int
    gpus: list[Earned]
    payouts: list[Paid]
    paid_before: int = 0

    @property
    def total(self) -> Part:
        return sum((one.part for one in self.gpus), Part())

    @property
    def paid_out(self) -> int:
        return sum(one.units for one in self.payouts)

    @property
    def paid_so_far(self) -> int:
        return self.paid_before + self.paid_out

    @property
    def owed(self) -> int:
        return self.before + self.total.net - self.paid_out

    def text(self, units: int) -> str:
        return decimal_text(units, self.exponent)


@dataclass(frozen=True, slots=True)
class OwnerMonth:
    """An owner's month as things are at `made_at`. `fees` are all that were ever set."""

    owner: Owner
    period: Span
    made_at: datetime
    fees: Sequence[Fee]
    currencies: Sequence[Statement]


def statements(session: Session, owner: str, period: Span) -> list[Statement]:
    """What was booked for an owner in a month, currency by currency. Raises NotFound."""
    found, first, end = store.by_slug(session, owner), period.start.date(), period.end.date()
    before, paid_before = settled.owed(session, owner, first), settled.paid(session, owner, date.min, first)
    earned, paid = settled.earned(session, found.id, first, end), settled.paid(session, owner, first, end)
    exponents = settled.exponents(session)
    return [
        Statement(
            currency,
            exponents[currency],
            before.get(currency, 0),
            [one for one in earned if one.currency == currency],
            [one for one in paid if one.currency == currency],
            sum(one.units for one in paid_before if one.currency == currency),
        )
        for currency in sorted({*before, *(one.currency for one in earned), *(one.currency for one in paid)})
    ]


def owner_month(session: Session, owner: str, period: Span, now: datetime) -> OwnerMonth:
    """Raises NotFound."""
    found = store.by_slug(session, owner)
    return OwnerMonth(found, period, now, store.fees(session, found.id), statements(session, owner, period))


def rows(found: Iterable[Statement]) -> Iterator[tuple[object, ...]]:
    """Of each currency: what was owed before, a row for each GPU and each payout, and the totals with what is owed then."""
    for one in found:
        text, currency, total = one.text, one.currency, one.total
        yield ("brought forward", None, "", "", currency, "", "", "", "", "", text(one.before))
        for gpu in one.gpus:
            part = (text(gpu.part.collected), text(gpu.part.fee), text(gpu.part.net))
            yield ("gpu", None, gpu.uuid, gpu.host, currency, *part, "", "", "")
        for paid in one.payouts:
            yield ("payout", paid.booked_on, "", "", currency, "", "", "", text(paid.units), paid.tx_hash, "")
        sums = (text(total.collected), text(total.fee), text(total.net), text(one.paid_out))
        yield ("total", None, "", "", currency, *sums, "", text(one.owed))

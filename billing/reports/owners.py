"""An owner's statement of a month: what each GPU brought in, the operator's fee, what was paid out, and what is owed then."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from billing.core.money import decimal_text
from billing.core.period import Span
from billing.db.engine import Session
from billing.owners import store
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
    """One currency of an owner's month. `before` is what was owed when it began; amounts are in the smallest unit."""

    currency: str
    exponent: int
    before: int
    gpus: list[Earned]
    payouts: list[Paid]

    @property
    def total(self) -> Part:
        return sum((one.part for one in self.gpus), Part())

    @property
    def paid_out(self) -> int:
        return sum(one.units for one in self.payouts)

    @property
    def owed(self) -> int:
        return self.before + self.total.net - self.paid_out

    def text(self, units: int) -> str:
        return decimal_text(units, self.exponent)


def statements(session: Session, owner: str, period: Span) -> list[Statement]:
    """What was booked for an owner in a month, currency by currency. Raises NotFound."""
    found, first, end = store.by_slug(session, owner), period.start.date(), period.end.date()
    before = settled.owed(session, owner, first)
    earned, paid = settled.earned(session, found.id, first, end), settled.paid(session, owner, first, end)
    exponents = settled.exponents(session)
    return [
        Statement(
            currency,
            exponents[currency],
            before.get(currency, 0),
            [one for one in earned if one.currency == currency],
            [one for one in paid if one.currency == currency],
        )
        for currency in sorted({*before, *(one.currency for one in earned), *(one.currency for one in paid)})
    ]


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

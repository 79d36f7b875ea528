"""The books as reports: the journal, who owes what for how long, and one tenant's statement."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from billing.core.money import decimal_text
from billing.reports.table import Column, Kind
from billing.reports.to_beancount import Line

AGES: Final = (("not_due", 0), ("days_1_30", 30), ("days_31_60", 60), ("days_61_90", 90))
"""Up to so many days overdue; beyond the last is `days_over_90`."""
OLDEST: Final = "days_over_90"

Exponents = Mapping[str, int]
"""Decimals of every asset and currency of the books."""


@dataclass(frozen=True, slots=True)
class Booked:
    """One posting with its entry. `units` are the asset's smallest; debits are positive."""

    entry: int
    booked_on: date
    happened_at: datetime
    kind: str
    account: str
    asset: str
    units: int
    tenant: str
    invoice: str
    tx_hash: str
    memo: str
    reverses: int | None


@dataclass(frozen=True, slots=True)
class Owing:
    """What is left of an invoice, in its currency's smallest unit."""

    invoice: str
    tenant: str
    currency: str
    issued_at: datetime
    due_at: datetime
    status: str
    amount_due: int
    remaining: int
    tenant_name: str = ""


JOURNAL: Final = (
    Column("entry", Kind.WHOLE), Column("booked_on", Kind.DAY), Column("happened_at", Kind.TIME), Column("kind"),
    Column("account"), Column("asset"), Column("debit", Kind.AMOUNT, of="asset"), Column("credit", Kind.AMOUNT, of="asset"),
    Column("tenant"), Column("invoice"), Column("tx_hash"), Column("memo"), Column("reverses", Kind.WHOLE),
)  # fmt: skip
AGING: Final = (
    Column("tenant"), Column("invoice"), Column("currency"), Column("issued_at", Kind.TIME), Column("due_at", Kind.TIME),
    Column("days_overdue", Kind.WHOLE), Column("status"), Column("amount_due", Kind.AMOUNT, of="currency"),
    Column("remaining", Kind.AMOUNT, of="currency"),
    *(Column(name, Kind.AMOUNT, of="currency") for name, _ in AGES), Column(OLDEST, Kind.AMOUNT, of="currency"),
    Column("tenant_name"),
)  # fmt: skip
STATEMENT: Final = (
    Column("booked_on", Kind.DAY), Column("happened_at", Kind.TIME), Column("kind"), Column("account"), Column("invoice"),
    Column("tx_hash"), Column("currency"), Column("debit", Kind.AMOUNT, of="currency"),
    Column("credit", Kind.AMOUNT, of="currency"), Column("balance", Kind.AMOUNT), Column("entry", Kind.WHOLE),
)  # fmt: skip


def journal_rows(postings: Iterable[Booked], exponents: Exponents) -> Iterator[tuple[object, ...]]:
    for one in postings:
        debit, credit = _sides(one.units, exponents[one.asset])
        yield (
            one.entry, one.booked_on, one.happened_at, one.kind, one.account, one.asset, debit, credit,
            one.tenant, one.invoice, one.tx_hash, one.memo, one.reverses,
        )  # fmt: skip


def journal_lines(postings: Iterable[Booked], exponents: Exponents) -> Iterator[Line]:
    for one in postings:
        amount = decimal_text(one.units, exponents[one.asset])
        yield Line(
            one.entry, one.booked_on, one.kind, one.memo, one.account, one.asset, amount, one.tenant, one.invoice, one.tx_hash
        )  # fmt: skip


def aging_rows(owing: Iterable[Owing], exponents: Exponents, on: date) -> Iterator[tuple[object, ...]]:
    """What is left of each invoice stands in the column of its age on a day."""
    for one in owing:
        days = max(0, (on - one.due_at.date()).days)
        exponent = exponents[one.currency]
        remaining = decimal_text(one.remaining, exponent)
        bucket = next((name for name, most in AGES if days <= most), OLDEST)
        ages = [remaining if name == bucket else "" for name in (*(name for name, _ in AGES), OLDEST)]
        yield (
            one.tenant, one.invoice, one.currency, one.issued_at, one.due_at, days, one.status,
            decimal_text(one.amount_due, exponent), remaining, *ages, one.tenant_name,
        )  # fmt: skip


def statement_rows(
    before: Mapping[str, int], postings: Iterable[Booked], exponents: Exponents
) -> Iterator[tuple[object, ...]]:
    """What a tenant owes (negative: has to its credit), line by line, from what it was before. `before` is by currency."""
    balances = dict(before)
    for currency, units in sorted(before.items()):
        yield (
            None,
            None,
            "brought forward",
            "",
            "",
            "",
            currency,
            "",
            "",
            decimal_text(units, exponents[currency]),
            None,
        )
    for one in postings:
        exponent = exponents[one.asset]
        balances[one.asset] = balances.get(one.asset, 0) + one.units
        yield (
            one.booked_on, one.happened_at, one.kind, one.account, one.invoice, one.tx_hash, one.asset,
            *_sides(one.units, exponent), decimal_text(balances[one.asset], exponent), one.entry,
        )  # fmt: skip


def _sides(units: int, exponent: int) -> tuple[str, str]:
    """(debit, credit)."""
    return (decimal_text(units, exponent), "") if units > 0 else ("", decimal_text(-units, exponent))

"""The finance desk's first page: what needs a person today, who owes what for how long, and what came in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response

from billing.core.errors import NotFound
from billing.core.money import Asset, Money
from billing.core.period import month_of, parse_month
from billing.ledger import store as ledger
from billing.ledger.account import RECEIVABLE, TENANT_CREDIT, TENANT_PREPAID
from billing.reports import store as reports
from billing.reports.books import AGES, OLDEST, Exponents, Owing
from billing.reports.store import finance as store
from billing.tenants.keys import KeyRole
from billing.web.deps import PageQuery, Web, sliced
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page
from billing.web.door import Page, Visitor

router = APIRouter(prefix="/finance", include_in_schema=False)

Reader = Annotated[Visitor, Depends(Page(KeyRole.FINANCE, KeyRole.OPERATOR, KeyRole.AUDITOR))]
"""Reads what concerns all tenants, as the API's `Staff`."""
Decider = Annotated[Visitor, Depends(Page(KeyRole.FINANCE))]
"""Decides what is billed, as the API's `Finance`."""
Clerk = Annotated[Visitor, Depends(Page(KeyRole.FINANCE, KeyRole.OPERATOR))]
"""Decides about money that waits, as the API's `Desk`."""

TODAY: Final = Link("Finance", "/finance")
BUCKETS: Final = {
    "not_due": "Not due yet", "days_1_30": "1 to 30 days", "days_31_60": "31 to 60 days", "days_61_90": "61 to 90 days",
    OLDEST: "Over 90 days",
}  # fmt: skip


def money(units: int, asset: str, exponents: Exponents) -> Money:
    return Money(int(units), Asset(asset, exponents.get(asset, 2)))


@router.get("")
def overview(web: Web, visitor: Reader) -> Response:
    now = web.clock.now()
    month = month_of(now)
    with web.database.transaction() as session:
        exponents = reports.exponents(session)
        questions = store.questions(session, now)
        ages, overdue = aged(reports.owing(session, now.date()), now.date())
        received = store.received_sums(session, month)
        held: dict[str, list[Money]] = defaultdict(list)
        for one in ledger.trial_balance(session):
            if one.account in (RECEIVABLE, TENANT_CREDIT, TENANT_PREPAID) and one.units:
                sign = 1 if one.account == RECEIVABLE else -1
                held[one.account].append(money(sign * one.units, one.asset, exponents))
    first = web.closer.first_open()
    lacks = [] if first is None or first.end > now else web.closer.blockers(first)
    context = {
        "questions": questions,
        "ages": [
            (
                currency,
                [
                    (name, BUCKETS[name], count, money(units, currency, exponents))
                    for name, (count, units) in row.items()
                ],
            )
            for currency, row in sorted(ages.items())
        ],
        "overdue": [money(units, currency, exponents) for currency, units in sorted(overdue.items())],
        "received": [money(units, currency, exponents) for currency, units in received],
        "month": f"{month.start:%Y-%m}",
        "held": held,
        "waits": None if first is None or first.end > now else f"{first.start:%Y-%m}",
        "lacks": lacks,
    }
    return page(web, visitor, "desk/finance_overview.html", Head("Finance today"), context)


def aged(owing: Iterable[Owing], on: date) -> tuple[Mapping[str, dict[str, tuple[int, int]]], dict[str, int]]:
    """({currency: {bucket: (invoices, units)}}, {currency: units overdue})."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    overdue: dict[str, int] = defaultdict(int)
    for one in owing:
        days = max(0, (on - one.due_at.date()).days)
        name = next((name for name, most in AGES if days <= most), OLDEST)
        row = found.setdefault(one.currency, dict.fromkeys(BUCKETS, (0, 0)))
        row[name] = (row[name][0] + 1, row[name][1] + one.remaining)
        if days:
            overdue[one.currency] += one.remaining
    return found, overdue


class ReceivedQuery(PageQuery):
    period: str = ""


@router.get("/payments")
def payments(web: Web, visitor: Reader, query: Annotated[ReceivedQuery, Query()]) -> Response:
    """What came in during a month."""
    month = parse_month(query.period) if query.period else month_of(web.clock.now())
    with web.database.transaction() as session:
        exponents = reports.exponents(session)
        found = store.received(session, month, query.after("received"), query.limit + 1)
        sums = store.received_sums(session, month)
    listed = sliced("received", [(row["id"], shown(web.tokens, row, exponents)) for row in found], query.limit)
    context = {
        "rows": listed.rows,
        "next": listed.next_cursor,
        "period": f"{month.start:%Y-%m}",
        "sums": [money(units, currency, exponents) for currency, units in sums],
    }
    return page(web, visitor, "desk/finance_payments.html", Head("Payments", (TODAY,)), context)


def shown(
    tokens: Mapping[tuple[int, str], tuple[str, int]], row: dict[str, Any], exponents: Exponents
) -> dict[str, Any]:
    """A transfer with its amounts as money."""
    symbol, decimals = tokens.get((row["chain_id"], row["token_address"]), ("", 0))
    token = Asset(symbol or "units", decimals)
    currency = row.get("currency") or ""
    worth: dict[str, Any] = {
        name: money(row[name], currency, exponents) if currency and row.get(name) is not None else None
        for name in ("value_units", "applied_units", "credited_units", "written_off_units")
        if name in row
    }
    return {**row, **worth, "token": Money(int(row["units"]), token)}


@router.get("/payments/{number}")
def payment(web: Web, visitor: Reader, number: int) -> Response:
    """One transfer: on its chain, what was done with it, and its entries."""
    with web.database.transaction() as session:
        row = store.transfer(session, number) if 0 < number < 2**63 else None
        if row is None:
            raise NotFound(f"there is no payment {number}")
        exponents = reports.exponents(session)
        booked = store.postings(session, store.Booked(transfer_id=number))
    chain = web.chains.get(row["chain_id"])
    context = {
        "one": shown(web.tokens, row, exponents),
        "chain": chain.name if chain else str(row["chain_id"]),
        "entries": entries(booked, exponents),
    }
    return page(web, visitor, "desk/finance_payment.html", Head(f"Payment {number}", (TODAY, PAYMENTS)), context)


PAYMENTS: Final = Link("Payments", "/finance/payments")


def entries(postings: list[dict[str, Any]], exponents: Exponents) -> list[dict[str, Any]]:
    """Postings with their amounts: a debit or a credit."""
    return [
        {**one, "debit": money(one["units"], one["asset"], exponents) if one["units"] > 0 else None,
         "credit": money(-one["units"], one["asset"], exponents) if one["units"] < 0 else None}
        for one in postings
    ]  # fmt: skip

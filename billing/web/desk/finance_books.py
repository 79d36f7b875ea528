"""The books: the trial balance, accounts, the journal by day, and entries."""

from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from billing.core.errors import Invalid, NotFound
from billing.core.period import month_of, parse_month
from billing.ledger import store as ledger
from billing.ledger.account import check
from billing.reports import store as reports
from billing.reports.store import finance as store
from billing.web.deps import PageQuery, Web, sliced
from billing.web.desk.finance import TODAY, Reader, entries, money
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page

router = APIRouter(prefix="/finance", include_in_schema=False)

BOOKS: Final = Link("Books", "/finance/books")


class JournalQuery(PageQuery):
    period: str = Field(default="", max_length=20)


@router.get("/books")
def books(web: Web, visitor: Reader, query: Annotated[JournalQuery, Query()]) -> Response:
    """The trial balance, and the days of a month on which something was booked."""
    month = parse_month(query.period) if query.period else month_of(web.clock.now())
    with web.database.transaction() as session:
        exponents = reports.exponents(session)
        balances = ledger.trial_balance(session)
        days = store.days(session, month)
    rows = [
        (
            one.account,
            one.asset,
            *(money(units, one.asset, exponents).text() for units in (one.debits, one.credits, one.units)),
        )
        for one in balances
    ]
    context = {"rows": rows, "days": days, "period": f"{month.start:%Y-%m}"}
    return page(web, visitor, "desk/finance_books.html", Head("Books", (TODAY,)), context)


@router.get("/journal/{day}")
def journal(web: Web, visitor: Reader, day: Annotated[str, Path(max_length=20)]) -> Response:
    """What was booked on a day."""
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise Invalid(f"{day!r} is no day; write it like 2026-10-01") from None
    if not 2000 <= on.year <= 2999:
        raise Invalid(f"{day!r} is out of range")
    return _postings(web, visitor, store.Booked(first=on, end=on + timedelta(days=1), limit=5000), f"Journal of {on}")


@router.get("/entries/{number}")
def entry(web: Web, visitor: Reader, number: int) -> Response:
    """One entry, with what it was booked for."""
    only = store.Booked(entry=number if 0 < number < 2**63 else 0)
    return _postings(web, visitor, only, f"Entry {number}")


def _postings(web: Web, visitor: Reader, only: store.Booked, title: str) -> Response:
    with web.database.transaction() as session:
        found = store.postings(session, only)
        exponents = reports.exponents(session)
    if not found and only.entry is not None:
        raise NotFound(f"there is no {title.lower()}")
    context = {"rows": entries(found, exponents), "next": None, "account": "", "title": title, "balances": []}
    return page(web, visitor, "desk/finance_entries.html", Head(title, (TODAY, BOOKS)), context)


class AccountQuery(PageQuery):
    pass


@router.get("/accounts/{account}")
def account(
    web: Web, visitor: Reader, account: Annotated[str, Path(max_length=200)], query: Annotated[AccountQuery, Query()]
) -> Response:
    """What was booked on an account."""
    check(account)
    with web.database.transaction() as session:
        exponents = reports.exponents(session)
        only = store.Booked(account=account, after_id=query.after("postings"), limit=query.limit + 1)
        found = store.postings(session, only)
        balances = [
            money(one.units, one.asset, exponents) for one in ledger.trial_balance(session) if one.account == account
        ]
    listed = sliced("postings", [(row["id"], row) for row in found], query.limit)
    context = {
        "rows": entries(list(listed.rows), exponents),
        "next": listed.next_cursor,
        "account": account,
        "title": f"Entries on {account}",
        "balances": balances,
    }
    return page(web, visitor, "desk/finance_entries.html", Head(f"Account {account}", (TODAY, BOOKS)), context)

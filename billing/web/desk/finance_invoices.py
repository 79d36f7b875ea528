"""Invoices as the finance desk sees them: the list, one invoice with all that made it, and a line's usage."""

from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid, NotFound
from billing.core.money import Money, parse_units
from billing.core.period import month_of, parse_month
from billing.invoicing import store as invoicing
from billing.invoicing.draft import coverage_text
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import notes
from billing.pricing import store as pricing
from billing.reports import store as reports
from billing.reports.books import AGES, OLDEST
from billing.reports.store import finance as store
from billing.tenants.keys import KeyRole
from billing.trail.store import about
from billing.web.api.credit_notes import visible as visible_note
from billing.web.api.invoices import document_response, pdf_response, visible
from billing.web.deps import Web, cursor_row, sliced
from billing.web.desk.finance import BUCKETS, TODAY, Reader, entries, shown
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page

router = APIRouter(prefix="/finance", include_in_schema=False)

INVOICES: Final = Link("Invoices", "/finance/invoices")
Number = Annotated[str, Path(max_length=40)]
SHOWN: Final = 50


class InvoicesQuery(BaseModel):
    """Empty fields do not filter. `overdue` is `yes`, or one of the buckets of the aging."""

    model_config = ConfigDict(extra="forbid")

    status: str = Field(default="", max_length=20)
    age: str = Field(default="", max_length=20)
    tenant: str = Field(default="", max_length=40)
    period: str = Field(default="", max_length=20)
    order: str = Field(default="", max_length=200)
    least: str = Field(default="", max_length=30)
    most: str = Field(default="", max_length=30)
    cursor: str = Field(default="", max_length=100)


@router.get("/invoices")
def invoices(web: Web, visitor: Reader, query: Annotated[InvoicesQuery, Query()]) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        units: dict[str, int | None] = {"least": None, "most": None}
        if query.least or query.most:
            currency = pricing.currency(session)
            units = {
                name: parse_units(text, currency).units if text else None
                for name, text in (("least", query.least), ("most", query.most))
            }
        if units["least"] is not None and units["most"] is not None and units["least"] > units["most"]:
            raise Invalid("the smallest amount is more than the largest")
        if any(one is not None and abs(one) >= 10**30 for one in units.values()):
            raise Invalid("no invoice is that large")
        first, last = _due(query.age, now.date())
        only = store.Wanted(
            status=_status(query.status),
            tenant=query.tenant or None,
            period=parse_month(query.period) if query.period else None,
            order=query.order or None,
            least=units["least"],
            most=units["most"],
            due_from=first,
            due_until=last,
            owed=bool(query.age),
            before_id=cursor_row("invoices", query.cursor) if query.cursor else None,
            limit=SHOWN + 1,
        )
        ids = store.invoice_ids(session, only)
        found = {one.id: one for one in invoicing.listed(session, invoicing.Filter(ids=ids))} if ids else {}
    listed = sliced("invoices", [(one, found[one]) for one in ids], SHOWN)
    context = {"rows": listed.rows, "next": listed.next_cursor, "query": query, "now": now, "buckets": BUCKETS}
    return page(web, visitor, "desk/finance_invoices.html", Head("Invoices", (TODAY,)), context)


def _status(text: str) -> str | None:
    if text and text not in set(InvoiceStatus):
        raise Invalid(f"{text!r} is no status of an invoice")
    return text or None


def _due(age: str, today: date) -> tuple[date | None, date | None]:
    """(due from, due until): both days are part of it."""
    if not age:
        return None, None
    if age == "overdue":
        return None, today - timedelta(days=1)
    if age == OLDEST:
        return None, today - timedelta(days=AGES[-1][1] + 1)
    for position, (name, most) in enumerate(AGES):
        if name == age:
            if not most:
                return today, None
            return today - timedelta(days=most), today - timedelta(days=AGES[position - 1][1] + 1)
    raise Invalid(f"{age!r} is no age of the aging")


@router.get("/invoices/{number}")
def invoice(web: Web, visitor: Reader, number: Number) -> Response:
    with web.database.transaction() as session:
        one = visible(session, visitor, number)
        exponents = reports.exponents(session)
        paid = [{**row, "currency": one.currency.code} for row in store.paid_on(session, one.id)]
        context = {
            "one": one,
            "lines": invoicing.lines(session, one.id),
            "charges": store.charges(session, one.id),
            "paid": [
                {**shown(web.tokens, row, exponents), "worth": Money(int(row["value"]), one.currency),
                 "applied": Money(int(row["applied"]), one.currency)}
                for row in paid
            ],
            "entries": entries(store.postings(session, store.Booked(invoice_id=one.id)), exponents),
            "notes": notes.of_invoice(session, one.id),
            "told": store.notices_about(session, f"invoice {number}") or store.notices_about(session, number),
            "trail": about(session, f"invoice {number}"),
        }  # fmt: skip
    month = month_of(one.period.start)
    context |= {
        "now": web.clock.now(),
        "acts": visitor.role is KeyRole.FINANCE,
        "period": f"{month.start:%Y-%m}",
        "covered": coverage_text,
    }
    return page(web, visitor, "desk/finance_invoice.html", Head(number, (TODAY, INVOICES)), context)


@router.get("/invoices/{number}/pdf")
def invoice_pdf(web: Web, visitor: Reader, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        one = visible(session, visitor, number)
        content = invoicing.document(session, one.id)
    return pdf_response(web, request, number, content, one.digest)


@router.get("/invoices/{number}/document")
def invoice_document(web: Web, visitor: Reader, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        one = visible(session, visitor, number)
        content = invoicing.document(session, one.id)
    return document_response(request, number, content, one.digest)


@router.get("/credit-notes/{number}/pdf")
def note_pdf(web: Web, visitor: Reader, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        one = visible_note(session, visitor, number)
        content = notes.document(session, one.id)
    return pdf_response(web, request, number, content, one.digest)


class LineQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: str = Field(default="", max_length=100)


@router.get("/invoices/{number}/lines/{position}")
def line(web: Web, visitor: Reader, number: Number, position: int, query: Annotated[LineQuery, Query()]) -> Response:
    """What a line is made of: its charges by device, and the usage intervals behind them."""
    after = cursor_row("intervals", query.cursor) if query.cursor else 0
    with web.database.transaction() as session:
        one = visible(session, visitor, number)
        lines = [row for row in invoicing.lines(session, one.id) if row.position == position]
        if not lines:
            raise NotFound(f"{number} has no line {position}")
        charges = store.charges(session, one.id, position)
        found = store.intervals(session, one.id, position, after, SHOWN + 1)
    listed = sliced("intervals", [(row["id"], row) for row in found], SHOWN)
    context = {
        "one": one,
        "line": lines[0],
        "charges": charges,
        "rows": listed.rows,
        "next": listed.next_cursor,
        "coverage": coverage_text(lines[0].measured_seconds, lines[0].quantity_seconds) if lines[0].is_time else "",
    }
    above = (TODAY, INVOICES, Link(number, f"/finance/invoices/{number}"))
    return page(web, visitor, "desk/finance_line.html", Head(f"Line {position}", above), context)

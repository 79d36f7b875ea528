"""Invoices, and the documents that they are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.core.money import ceil_div, decimal_text
from billing.core.onchain import Address, Hash32, checksum, payment_uri
from billing.core.period import parse_month, rfc3339
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.document import (
    AgreedLine,
    InvoiceDocument,
    Line,
    MeterLine,
    MeterPackageLine,
    PackageLine,
    rate_text,
)
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.papers.printer import LAYOUT
from billing.quotes import store as quotes
from billing.quotes.quote import FeedKey, Quote
from billing.reconciliation.abandoner import Abandoner
from billing.reconciliation.valuation import asked, units_at
from billing.web import store
from billing.web.auth import Caller, Finance, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, once
from billing.web.idempotency import Request as Repeated
from billing.web.schemas import Name, Slug

router = APIRouter(prefix="/api/v1/invoices", tags=["invoices"], responses=PROBLEM_RESPONSES, route_class=Route)

ASKED_DECIMALS: Final = 6
"""People copy amounts by hand: what a rate makes of one is rounded up to so many decimals."""

Number = Annotated[str, Path(max_length=40)]


class Period(BaseModel):
    start: str
    end: str


class ExcludedTime(BaseModel):
    reason: str
    seconds: int


class LineOut(BaseModel):
    """As in the document. `coverage` is the share of the billed time that was also measured; of a line of a meter it is null,
    and so is `quantity_seconds`. `unit_price` is for `unit_size` of `unit`: one device-hour, or that many units of a meter,
    whose `quantity` is decimal text. `package` is how many seconds or units are sold together. `kind` is usage; or fee, minimum
    or discount, which have an amount only."""

    description: str
    sku: str
    quantity_seconds: int | None
    unit_price: str | None
    amount: str
    coverage: str | None
    excluded_seconds: int
    tenant: str
    period: Period
    excluded: list[ExcludedTime]
    usage_digest: str | None
    unit: str | None
    unit_size: int
    meter: str | None
    aggregation: str | None
    quantity: str | None
    events: int | None
    kind: str
    package: int | None


class PaymentOption(BaseModel):
    """`amount_units` pays what remains, in the token's smallest unit, when one token counts as `rate` of the currency; that rate is
    promised to payments in blocks before `rate_until` (null: it does not change). `uri` is the EIP-681 link."""

    chain_id: int
    token: str
    token_address: str
    decimals: int
    amount_units: str
    address: str
    uri: str
    rate: str
    rate_until: str | None


class InvoiceOut(BaseModel):
    """Amounts are decimal text in the invoice's currency. `amount_credited` was paid with credit at the issue; `amount_noted` was
    taken off by credit notes since, tax included. `payment_options` are empty when nothing can or need be paid."""

    number: str
    tenant: str
    status: InvoiceStatus
    currency: str
    total: str
    amount_paid: str
    amount_remaining: str
    overdue: bool
    period: Period
    issued_at: str
    due_at: str
    lines: list[LineOut]
    payment_options: list[PaymentOption]
    document_digest: str
    amount_credited: str
    amount_due: str
    amount_noted: str
    tax: str
    purchase_order: str | None
    address: str | None
    replaces: str | None
    pay_url: str


class InvoiceQuery(PageQuery):
    tenant: Slug | None = None
    status: InvoiceStatus | None = None
    period: str | None = Field(default=None, max_length=20, description="A month, like 2026-10")


@router.get("", summary="List invoices")
def list_invoices(web: Web, caller: StaffOrTenant, query: Annotated[InvoiceQuery, Query()]) -> Listing[InvoiceOut]:
    period = parse_month(query.period) if query.period is not None else None
    with web.database.transaction() as session:
        only = invoicing.Filter(
            tenant_id=caller.tenant_scope(session, query.tenant),
            status=query.status,
            period=period,
            after_id=query.after("invoices"),
            limit=query.limit + 1,
        )
        found = invoicing.listed(session, only)
        page = sliced("invoices", [(invoice.id, invoice) for invoice in found], query.limit)
        documents = store.documents(session, [invoice.id for invoice in page.rows])
        today = Today(web.offered, quotes.newest(session, web.clock.now()))
    items = [_out(web, invoice, documents[invoice.id], today) for invoice in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/{number}.pdf", summary="The invoice as PDF", response_class=Response)
def get_pdf(web: Web, caller: StaffOrTenant, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        invoice = visible(session, caller, number)
        content = invoicing.document(session, invoice.id)
    return pdf_response(web, request, number, content, invoice.digest)


@router.get("/{number}", summary="One invoice")
def get_invoice(web: Web, caller: StaffOrTenant, number: Number) -> InvoiceOut:
    with web.database.transaction() as session:
        invoice = visible(session, caller, number)
        today = Today(web.offered, quotes.newest(session, web.clock.now()))
        return _out(web, invoice, store.documents(session, [invoice.id])[invoice.id], today)


@router.get("/{number}/document", summary="The document, byte for byte", response_class=Response)
def get_document(web: Web, caller: StaffOrTenant, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        tenant_id, content, digest = store.document(session, number)
    if not caller.may_see(tenant_id):
        raise _unknown(number)
    return document_response(request, number, content, digest)


class WriteOff(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Name


@router.post("/{number}/write-off", summary="Give up what remains on an invoice", response_model=InvoiceOut)
def write_off(web: Web, caller: Finance, number: Number, body: WriteOff, key: IdempotencyKey = None) -> Response:
    """It is uncollectible then. A payment that comes all the same is taken."""

    def write(joined: Joined, session: Session) -> Answer:
        Abandoner(joined, web.clock).write_off(number, reason=body.reason, actor=caller.actor)
        invoice = visible(session, caller, number)
        today = Today(web.offered, quotes.newest(session, web.clock.now()))
        return Answer(200, _out(web, invoice, store.documents(session, [invoice.id])[invoice.id], today))

    return once(web, caller, key, Repeated("POST", f"/api/v1/invoices/{number}/write-off", body), write)


def visible(session: Session, caller: Caller, number: str) -> Invoice:
    """The invoice, if there is one that the caller may see. Raises NotFound, the same for both."""
    found = invoicing.listed(session, invoicing.Filter(number=number))
    if not found or not caller.may_see(found[0].tenant_id):
        raise _unknown(number)
    return found[0]


def _unknown(number: str) -> NotFound:
    return NotFound(f"there is no invoice {number}")


def document_response(request: Request, number: str, content: bytes, digest: Hash32) -> Response:
    """The stored bytes, unchanged; 304 for who has them."""
    headers = _headers(f"{number}.json", digest)
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, "application/json")


def pdf_response(web: Wired, request: Request, number: str, content: bytes, digest: Hash32) -> Response:
    """The paper of a document. No transaction is open while it is printed. Raises Unavailable when too many are waiting."""
    headers = _headers(f"{number}.pdf", f"{digest}-{LAYOUT}")
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(web.printer.pdf(content), 200, headers, "application/pdf")


def _headers(name: str, tag: str) -> dict[str, str]:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "_" for c in name)
    disposition = f'attachment; filename="{name}"'
    return {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache", "Content-Disposition": disposition}


@dataclass(frozen=True, slots=True)
class Today:
    """What may be paid with today: the tokens that are offered, and the quotes that hold."""

    offered: Collection[tuple[int, str]]
    quotes: Mapping[FeedKey, Quote] = field(default_factory=dict)


def payment_options(invoice: Invoice, document: InvoiceDocument, amount: int, today: Today) -> list[PaymentOption]:
    """How an amount of an invoice's currency can be paid: what the document accepts, at its rule, as long as it is offered
    (somebody watches the chain, the token was not withdrawn, and its rate is known)."""
    if amount <= 0 or invoice.address is None or invoice.status in (InvoiceStatus.VOID, InvoiceStatus.PAID):
        return []
    options = []
    for one in document.settlement:
        terms = asked(one.rule, one.chain_id, today.quotes)
        if (one.chain_id, one.token_address) not in today.offered or terms is None:
            continue
        grain = 10 ** max(0, one.decimals - ASKED_DECIMALS)
        units = ceil_div(units_at(terms.rate, amount, invoice.currency, one.decimals), grain) * grain
        options.append(
            PaymentOption(
                chain_id=one.chain_id,
                token=one.token,
                token_address=checksum(Address(one.token_address)),
                decimals=one.decimals,
                amount_units=str(units),
                address=checksum(invoice.address),
                uri=payment_uri(Address(one.token_address), one.chain_id, invoice.address, units),
                rate=rate_text(terms.rate),
                rate_until=None if terms.until is None else rfc3339(terms.until),
            )
        )
    return options


def _out(web: Wired, invoice: Invoice, document: InvoiceDocument, today: Today) -> InvoiceOut:
    def money(units: int) -> str:
        return decimal_text(units, invoice.currency.exponent)

    return InvoiceOut(
        number=invoice.number,
        tenant=invoice.tenant,
        status=invoice.status,
        currency=invoice.currency.code,
        total=money(invoice.total),
        amount_paid=money(invoice.paid),
        amount_remaining=money(invoice.remaining),
        overdue=invoice.overdue(web.clock.now()),
        period=Period(start=document.period.start, end=document.period.end),
        issued_at=rfc3339(invoice.issued_at),
        due_at=rfc3339(invoice.due_at),
        lines=[_line(document, position) for position in range(len(document.lines))],
        payment_options=payment_options(invoice, document, invoice.remaining, today),
        document_digest=invoice.digest,
        amount_credited=money(invoice.credits),
        amount_due=money(invoice.amount_due),
        amount_noted=money(invoice.noted),
        tax=money(invoice.tax),
        purchase_order=invoice.purchase_order or None,
        address=checksum(invoice.address) if invoice.address else None,
        replaces=invoice.replaces,
        pay_url=f"{web.public_url}/pay/{invoice.pay_token}",
    )


def _line(document: InvoiceDocument, position: int) -> LineOut:
    line = document.lines[position]
    metered = line if isinstance(line, MeterLine) else None
    time = line if isinstance(line, Line) else None
    excluded = time.excluded if time else []
    used = metered or time
    package = metered.unit_size if isinstance(metered, MeterPackageLine) else None
    return LineOut(
        description=line.description,
        sku=line.sku,
        quantity_seconds=time.quantity_seconds if time else None,
        kind=line.kind if isinstance(line, AgreedLine) else "usage",
        unit_price=used.unit_price if used else None,
        amount=line.amount,
        coverage=time.coverage if time else None,
        excluded_seconds=sum(one.seconds for one in excluded),
        tenant=line.tenant,
        period=Period(start=line.period.start, end=line.period.end),
        excluded=[ExcludedTime(reason=one.reason, seconds=one.seconds) for one in excluded],
        usage_digest=used.usage_digest if used else None,
        unit=used.unit if used else None,
        unit_size=metered.unit_size if metered else 1,
        package=time.package_seconds if isinstance(time, PackageLine) else package,
        meter=metered.meter if metered else None,
        aggregation=metered.aggregation if metered else None,
        quantity=metered.quantity if metered else None,
        events=metered.events if metered else None,
    )

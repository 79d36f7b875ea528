"""A tenant's invoices, payments, credit and deposit address."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field

from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address, checksum
from billing.invoicing import store as invoicing
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import credit, deposits, notes
from billing.pricing import store as pricing
from billing.reconciliation.store import listing
from billing.tenants import store as tenants
from billing.web.deps import PageQuery, Web, Wired, sliced
from billing.web.desk.portal import OVERVIEW, TenantVisitor
from billing.web.desk.shell import Head, page
from billing.web.format import NOTHING, grouped, units
from billing.web.pages.qr import qr_svg

router = APIRouter(include_in_schema=False)

STATES: Final = {
    InvoiceStatus.OPEN: ("open", "calm"),
    InvoiceStatus.PAID: ("paid", "good"),
    InvoiceStatus.VOID: ("void", "calm"),
    InvoiceStatus.UNCOLLECTIBLE: ("given up", "care"),
}
DONE: Final = {
    "matched": ("paid an invoice", "good"),
    "resolved": ("dealt with", "good"),
    "booked": ("booked", "good"),
    "suspended": ("we look at it", "care"),
    "held": ("we look at it", "care"),
    "released": ("we look at it", "care"),
    "reversed": ("left the chain", "stop"),
}
"""What was done with a payment, in the payer's words."""


class InvoiceQuery(PageQuery):
    status: str = Field(default="", pattern=r"^(open|paid|void|uncollectible)?$")


@router.get("/portal/invoices")
def invoices(web: Web, visitor: TenantVisitor, query: Annotated[InvoiceQuery, Query()]) -> Response:
    """All invoices, the newest first, with their credit notes."""
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        wanted = invoicing.Filter(
            tenant_id=tenant.id, status=InvoiceStatus(query.status) if query.status else None,
            before_id=query.after("myinvoices"), limit=query.limit + 1,
        )  # fmt: skip
        found = invoicing.listed(session, wanted)
        noted = {
            one.id: notes.of_invoice(session, one.id) for one in found if one.noted or one.status is InvoiceStatus.VOID
        }
    rows = sliced("myinvoices", [(one.id, one) for one in found], query.limit)
    context = {
        "tenant": tenant, "rows": rows, "notes": noted, "status": query.status, "states": STATES, "now": web.clock.now()
    }  # fmt: skip
    return page(web, visitor, "desk/portal_invoices.html", Head("Invoices", (OVERVIEW,)), context)


@router.get("/portal/payments")
def payments(web: Web, visitor: TenantVisitor, query: Annotated[PageQuery, Query()]) -> Response:
    """What came in from this tenant, the newest first."""
    with web.database.transaction() as session:
        before = query.after("mypayments")
        found = listing.newest(session, visitor.tenant_id, before_id=before, limit=query.limit + 1)
    rows = sliced("mypayments", [(row["id"], _payment(web, row)) for row in found], query.limit)
    return page(web, visitor, "desk/portal_payments.html", Head("Payments", (OVERVIEW,)), {"rows": rows})


def _payment(web: Wired, row: dict[str, Any]) -> dict[str, Any]:
    symbol, decimals = web.tokens.get((row["chain_id"], row["token_address"]), ("", None))
    chain = web.chains.get(row["chain_id"])
    gone = row["status"] == "orphaned"
    done = ("credited", "good") if row["deposit"] and row["disposition"] == "matched" else DONE.get(row["disposition"])
    waits = ("left the chain", "stop") if gone else ("waits for confirmations", "calm")
    counted = NOTHING
    if row["exponent"] is not None and row["currency"]:
        counted = f"{units(row['value_units'], row['exponent'])} {row['currency']}"
    return {
        **row,
        "amount": f"{row['units']} units" if decimals is None else f"{_trimmed(row['units'], decimals)} {symbol}",
        "chain": chain.name if chain else str(row["chain_id"]),
        "state": waits if gone or done is None else done,
        "counted": counted,
        "for_what": row["invoice"] or ("top-up" if row["deposit"] else ""),
    }


def _trimmed(value: int, decimals: int) -> str:
    """A token amount with two decimals at least and no needless zeros."""
    whole, _, fraction = units(value, decimals).partition(".")
    kept = fraction.rstrip("0").ljust(min(2, decimals), "0")
    return f"{whole}.{kept}" if kept else whole


@router.get("/portal/credit")
def credit_page(web: Web, visitor: TenantVisitor, query: Annotated[PageQuery, Query()]) -> Response:
    """What is held for this tenant, how long it lasts, and where more of it is sent to."""
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        found = credit.credits_of(session, tenant.id, after_id=query.after("mycredit"), limit=query.limit + 1)
        exponent = pricing.currency(session).exponent if found else 0
        mine = deposits.of_tenant(session, tenant.id)
        try:
            runway = web.forecaster.within(session, tenant.slug)
        except (Conflict, NotFound):  # another pays, or something used has no price yet
            runway = None
    rows = sliced("mycredit", [(row["id"], row) for row in found], query.limit)
    deposit = mine[-1] if mine else None
    address = checksum(deposit.address) if deposit else ""
    accepted = [
        (terms.token, web.chains[terms.chain_id].name, checksum(Address(terms.token_address)))
        for terms in (deposit.document.settlement if deposit else ())
        if (terms.chain_id, terms.token_address) in web.offered and terms.chain_id in web.chains
    ]
    context = {
        "tenant": tenant, "rows": rows, "exponent": exponent, "deposit": deposit, "address": address, "accepted": accepted,
        "runway": runway, "qr": qr_svg(address, "Your deposit address") if address else None, "grouped": grouped,
    }  # fmt: skip
    return page(web, visitor, "desk/portal_credit.html", Head("Credit", (OVERVIEW,)), context)


@router.get("/portal/deposit-document")
def deposit_document(web: Web, visitor: TenantVisitor) -> Response:
    """The document of the present deposit address, byte for byte."""
    with web.database.transaction() as session:
        mine = deposits.of_tenant(session, visitor.tenant_id)
    if not mine:
        raise NotFound("you have no deposit address")
    name = f'attachment; filename="{mine[-1].number}.json"'
    return Response(mine[-1].content, 200, {"Content-Disposition": name}, "application/json")

"""Payments: every transfer to an address of an invoice or of a tenant's deposits, and what was done with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from billing.invoicing.document import rate_text
from billing.reconciliation import store as reconciliation
from billing.web.api.invoices import visible
from billing.web.auth import StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.schemas import Slug

router = APIRouter(prefix="/api/v1/payments", tags=["payments"], responses=PROBLEM_RESPONSES, route_class=Route)


class PaymentOut(BaseModel):
    """`status` is how sure the chain is of the transfer, `disposition` what was done with it: one that is `held` is being
    checked, and counts for nothing yet. `kind` says what it was to its invoice, or `top_up`; then `deposit` is the number of the
    deposit document. The amounts after it are decimal text in the document's currency, and empty without one. `rate` is what one
    token was valued at; who said so, and since when it held, come after it. All three are empty while nobody valued it."""

    id: int
    invoice: str | None
    tenant: str | None
    chain_id: int
    token: str
    token_address: str
    amount_units: str
    from_address: str
    to_address: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    mined_at: str
    status: str
    disposition: str
    incarnation: int
    reason: str
    kind: str
    late: bool
    confirmations: int
    currency: str
    value: str
    applied: str
    credited: str
    written_off: str
    rate: str
    rate_source: str
    rate_at: str | None
    deposit: str | None


class PaymentQuery(PageQuery):
    invoice: str | None = Field(default=None, min_length=1, max_length=40)
    tenant: Slug | None = None


@router.get("", summary="List payments")
def list_payments(web: Web, caller: StaffOrTenant, query: Annotated[PaymentQuery, Query()]) -> Listing[PaymentOut]:
    with web.database.transaction() as session:
        tenant = caller.tenant_scope(session, query.tenant)
        invoice = visible(session, caller, query.invoice) if query.invoice is not None else None
        rows = reconciliation.payments(
            session,
            invoice_ids=None if invoice is None else [invoice.id],
            tenant_id=tenant,
            after_id=query.after("payments"),
            limit=query.limit + 1,
        )
        page = sliced("payments", [(row["id"], row) for row in rows], query.limit)
    items = [_out(web, row, row["exponent"]) for row in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


def _out(web: Wired, row: dict[str, Any], exponent: int | None) -> PaymentOut:
    def money(name: str) -> str:
        return "" if exponent is None or not row["currency"] else decimal_text(row[name], exponent)

    symbol, _ = web.tokens.get((row["chain_id"], row["token_address"]), ("", 0))
    return PaymentOut(
        **{name: row[name] for name in _PLAIN},
        token=symbol,
        token_address=checksum(Address(row["token_address"])),
        amount_units=str(row["units"]),
        from_address=checksum(Address(row["from_address"])),
        to_address=checksum(Address(row["to_address"])),
        mined_at=rfc3339(row["mined_at"]),
        value=money("value_units"),
        applied=money("applied_units"),
        credited=money("credited_units"),
        written_off=money("written_off_units"),
        rate="" if row["rate"] is None else rate_text(row["rate"]),
        rate_at=None if row["rate_at"] is None else rfc3339(row["rate_at"]),
    )


_PLAIN = (
    "id", "invoice", "deposit", "tenant", "chain_id", "tx_hash", "log_index", "block_number", "block_hash", "status", "disposition",
    "incarnation", "reason", "kind", "late", "confirmations", "currency",
    "rate_source",
)  # fmt: skip

"""What would be invoiced, and invoicing it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.money import decimal_text
from billing.core.period import parse_period, rfc3339
from billing.db.engine import Session
from billing.invoicing.draft import Draft, DraftLine
from billing.web.auth import Finance, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Slug, Text

router = APIRouter(prefix="/api/v1", tags=["invoices"], responses=PROBLEM_RESPONSES, route_class=Route)

PERIOD = "A month, like 2026-10; or a span, like 2026-10-05..2026-10-12"


class DraftLineOut(BaseModel):
    """`adjusts` names the month that a line corrects."""

    tenant: str
    description: str
    seconds: int | None
    amount: str
    adjusts: str | None


class DraftOut(BaseModel):
    """An invoice that could be issued. `carried` outweighs it, and comes with a later one. Amounts are decimal text."""

    payer: str
    currency: str
    subtotal: str
    tax: str
    total: str
    credit: str
    amount_due: str
    lines: list[DraftLineOut]
    carried: list[DraftLineOut]


class DraftQuery(PageQuery):
    period: str = Field(max_length=45, description=PERIOD)
    tenant: Slug | None = Field(default=None, description="Only this payer")


class NewRun(BaseModel):
    """Of everybody who is invoiced in such periods and has none yet; or of one `tenant` alone, then also after a void, and with a
    purchase order of its own."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field(max_length=45, description=PERIOD)
    tenant: Slug | None = None
    purchase_order: Text = ""


class IssuedInvoice(BaseModel):
    number: str
    tenant: str
    currency: str
    total: str
    due_at: str


class RunOut(BaseModel):
    """What was issued; nothing, when everybody has an invoice already."""

    invoices: list[IssuedInvoice]


@router.get("/drafts", summary="What would be invoiced as things are now")
def list_drafts(web: Web, caller: Staff, query: Annotated[DraftQuery, Query()]) -> Listing[DraftOut]:
    """Writes nothing. What is late for an invoiced period comes as lines of a payer's next invoice."""
    after, period = query.after("drafts"), parse_period(query.period)
    found = web.drafter.preview(period, query.tenant or "").drafts
    page = sliced("drafts", list(enumerate(found, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[_draft(one) for one in page.rows], next_cursor=page.next_cursor)


@router.post("/invoices", summary="Issue the invoices of a period", status_code=201, response_model=RunOut)
def run(web: Web, caller: Finance, body: NewRun, key: IdempotencyKey = None) -> Response:
    """409 while the period or its readings are not complete, or something used has no price."""
    period = parse_period(body.period)

    def write(joined: Joined, session: Session) -> Answer:
        # It commits by itself, some invoices at a time: their documents are archived before.
        issued = web.issuer.run(period, body.tenant or "", actor=caller.actor, purchase_order=body.purchase_order)
        return Answer(
            201,
            RunOut(
                invoices=[
                    IssuedInvoice(
                        number=one.number,
                        tenant=one.tenant,
                        currency=one.currency.code,
                        total=decimal_text(one.total, one.currency.exponent),
                        due_at=rfc3339(one.due_at),
                    )
                    for one in issued
                ]
            ),
        )

    return once(web, caller, key, Request("POST", "/api/v1/invoices", body), write)


def _draft(one: Draft) -> DraftOut:
    return DraftOut(
        payer=one.payer.slug,
        currency=one.currency.code,
        subtotal=one.subtotal.text(),
        tax=one.tax.text(),
        total=one.total.text(),
        credit=one.credited.text(),
        amount_due=one.amount_due.text(),
        lines=[_line(one, line) for line in one.lines],
        carried=[_line(one, line) for line in one.carried],
    )


def _line(draft: Draft, line: DraftLine) -> DraftLineOut:
    return DraftLineOut(
        tenant=line.consumer.slug,
        description=line.description,
        seconds=line.rated.seconds if line.rated.is_time else None,
        amount=decimal_text(line.rated.amount, draft.currency.exponent),
        adjusts=f"{line.adjusts.start:%Y-%m}" if line.adjusts else None,
    )

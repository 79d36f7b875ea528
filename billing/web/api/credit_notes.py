"""Credit notes: what takes an invoice, or a part of it, back."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.core.money import decimal_text, parse_units
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.archive import Prepared
from billing.invoicing.goodwill import Wish
from billing.invoicing.store import notes
from billing.invoicing.store.notes import CreditNote
from billing.web.api.invoices import document_response, pdf_response
from billing.web.auth import Caller, Finance, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, once
from billing.web.idempotency import Request as Asked
from billing.web.schemas import Slug, Text

router = APIRouter(prefix="/api/v1", tags=["invoices"], responses=PROBLEM_RESPONSES, route_class=Route)

LIST: Final = "notes"
Number = Annotated[str, Path(max_length=40)]


class CreditNoteOut(BaseModel):
    """Amounts are decimal text in the invoice's currency; `total` includes `tax`. `effect`: `void` took the whole invoice back,
    `partial` some of it. The lines are in the document."""

    number: str
    invoice: str
    tenant: str
    effect: str
    currency: str
    tax: str
    total: str
    reason: str
    issued_at: str
    document_digest: str


class NewCreditNote(BaseModel):
    """`amount` is before tax; left out: all that is left. Without `line` it is spread over all lines."""

    model_config = ConfigDict(extra="forbid")

    line: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    amount: Annotated[str, Field(pattern=r"^\d{1,18}(\.\d{1,4})?$")] | None = None
    reason: Text


class CreditNoteQuery(PageQuery):
    tenant: Slug | None = None


@router.get("/credit-notes", summary="List credit notes")
def list_notes(web: Web, caller: StaffOrTenant, query: Annotated[CreditNoteQuery, Query()]) -> Listing[CreditNoteOut]:
    with web.database.transaction() as session:
        only = notes.Filter(
            tenant_id=caller.tenant_scope(session, query.tenant), after_id=query.after(LIST), limit=query.limit + 1
        )
        found = notes.listed(session, only)
    page = sliced(LIST, [(one.id, one) for one in found], query.limit)
    return Listing(items=[_out(one) for one in page.rows], next_cursor=page.next_cursor)


@router.get("/credit-notes/{number}.pdf", summary="A credit note as PDF", response_class=Response)
def get_pdf(web: Web, caller: StaffOrTenant, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        note = visible(session, caller, number)
        content = notes.document(session, note.id)
    return pdf_response(web, request, number, content, note.digest)


@router.get("/credit-notes/{number}", summary="One credit note")
def get_note(web: Web, caller: StaffOrTenant, number: Number) -> CreditNoteOut:
    with web.database.transaction() as session:
        return _out(visible(session, caller, number))


@router.get(
    "/credit-notes/{number}/document", summary="A credit note's document, byte for byte", response_class=Response
)
def get_document(web: Web, caller: StaffOrTenant, number: Number, request: Request) -> Response:
    with web.database.transaction() as session:
        note = visible(session, caller, number)
        content = notes.document(session, note.id)
    return document_response(request, number, content, note.digest)


@router.post(
    "/invoices/{number}/credit-notes",
    summary="Take something off an open or paid invoice",
    status_code=201,
    response_model=CreditNoteOut,
)
def add_note(web: Web, caller: Finance, number: Number, body: NewCreditNote, key: IdempotencyKey = None) -> Response:
    done: list[Prepared] = []

    def write(joined: Joined, session: Session) -> Answer:
        currency = invoicing.by_number(session, number).currency
        units = None if body.amount is None else parse_units(body.amount, currency).units
        done.append(web.noter.write(session, number, Wish(body.line, units), body.reason, caller.actor))
        return Answer(201, _out(notes.by_number(session, done[0].number)))

    answer = once(web, caller, key, Asked("POST", f"/api/v1/invoices/{number}/credit-notes", body), write)
    for one in done:
        web.noter.confirm(one)
    return answer


def visible(session: Session, caller: Caller, number: str) -> CreditNote:
    """The credit note, if there is one that the caller may see. Raises NotFound, the same for both."""
    found = notes.listed(session, notes.Filter(number=number))
    if not found or not caller.may_see(found[0].tenant_id):
        raise NotFound(f"there is no credit note {number}")
    return found[0]


def _out(note: CreditNote) -> CreditNoteOut:
    return CreditNoteOut(
        number=note.number,
        invoice=note.invoice,
        tenant=note.tenant,
        effect="void" if note.is_void else "partial",
        currency=note.currency.code,
        tax=decimal_text(note.tax, note.currency.exponent),
        total=decimal_text(note.total, note.currency.exponent),
        reason=note.reason,
        issued_at=rfc3339(note.issued_at),
        document_digest=note.digest,
    )

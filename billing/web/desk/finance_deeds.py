"""What the finance desk does to an invoice: void, credit note, write-off. Each needs a reason."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from billing.core.errors import Invalid
from billing.core.money import parse_units
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.archive import Prepared
from billing.invoicing.goodwill import Wish
from billing.reconciliation.abandoner import Abandoner
from billing.web.api.credit_notes import NewCreditNote
from billing.web.deps import Web
from billing.web.desk.finance import Decider
from billing.web.desk.shell import back_to, done_once
from billing.web.idempotency import Joined

router = APIRouter(prefix="/finance/invoices", include_in_schema=False)

Number = Annotated[str, Path(max_length=40)]


@router.post("/{number}/void")
def void(web: Web, visitor: Decider, number: Number) -> Response:
    """It commits by itself. Sent twice, the second is told that the invoice is void."""
    reason = visitor.form.text("reason", needed=True)
    _require_ticked(visitor.form.ticked("sure"), "void the invoice")
    note = web.issuer.void(number, reason=reason, actor=visitor.actor)
    return back_to(web, visitor, f"/finance/invoices/{number}", f"{number} is void; credit note {note} takes it back.")


@router.post("/{number}/write-off")
def write_off(web: Web, visitor: Decider, number: Number) -> Response:
    reason = visitor.form.text("reason", needed=True)
    _require_ticked(visitor.form.ticked("sure"), "write the rest off")

    def write(joined: Joined) -> str:
        Abandoner(joined, web.clock).write_off(number, reason=reason, actor=visitor.actor)
        return f"What was left of {number} is written off."

    said = done_once(web, visitor, write)
    return back_to(web, visitor, f"/finance/invoices/{number}", said)


@router.post("/{number}/credit")
def credit(web: Web, visitor: Decider, number: Number) -> Response:
    """The whole, a line, or an amount."""
    visitor.form.text("reason", needed=True)
    body = visitor.form.read(NewCreditNote)
    done: list[Prepared] = []

    def write(joined: Joined) -> str:
        with joined.transaction() as session:
            done.append(_noted(web, session, number, body, visitor.actor))
        return f"Credit note {done[-1].number} takes something off {number}."

    said = done_once(web, visitor, write)
    for one in done:
        web.noter.confirm(one)
    return back_to(web, visitor, f"/finance/invoices/{number}", said)


def _noted(web: Web, session: Session, number: str, body: NewCreditNote, actor: str) -> Prepared:
    currency = invoicing.by_number(session, number).currency
    units = None if body.amount is None else parse_units(body.amount, currency).units
    return web.noter.write(session, number, Wish(body.line, units), body.reason, actor)


def _require_ticked(ticked: bool, what: str) -> None:
    if not ticked:
        raise Invalid(f"tick the box to {what}")

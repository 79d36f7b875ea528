"""The queue of exceptions: what waits for a person, what may be done, and the decision."""

from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter, Path, Query, Response

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset, decimal_text, parse_rate
from billing.db.engine import Session
from billing.reconciliation import store as reconciliation
from billing.reconciliation.abandoner import Abandoner
from billing.reconciliation.applier import AT_ONCE, Applier, To
from billing.reconciliation.resolver import Credited, Resolution, Resolver
from billing.reconciliation.suggester import suggested
from billing.reconciliation.suggestion import OVERPAID, Action, Suggestion
from billing.tenants.keys import KeyRole
from billing.web.api.exceptions import ExceptionStatus
from billing.web.deps import PageQuery, Web, sliced
from billing.web.desk.finance import TODAY, Clerk, Reader
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, back_to, done_once, page
from billing.web.door import Visitor
from billing.web.forms import Form
from billing.web.idempotency import Joined

router = APIRouter(prefix="/finance/exceptions", include_in_schema=False)

EXCEPTIONS: Final = Link("Exceptions", "/finance/exceptions")


class Why(TypedDict):
    reason: str
    actor: str


WRITE_OFF: Final = "write_off"
ROWS: Final = 3
"""Invoices that the form for splitting has room for."""
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


class QueueQuery(PageQuery):
    status: ExceptionStatus = ExceptionStatus.OPEN
    kind: str = ""


@router.get("")
def queue(web: Web, visitor: Reader, query: Annotated[QueueQuery, Query()]) -> Response:
    """The oldest first."""
    now = web.clock.now()
    status = None if query.status is ExceptionStatus.ALL else query.status.value
    with web.database.transaction() as session:
        found = reconciliation.exceptions(
            session,
            status=status,
            after_id=query.after("exceptions"),
            limit=query.limit + 1,
            kind=query.kind or None,
        )
        listed = sliced("exceptions", [(row["id"], row) for row in found], query.limit)
        currency, ideas = suggested(session, [row["id"] for row in listed.rows])
    rows = [
        {
            **row,
            "days": max(0, (now - row["created_at"]).days),
            "ideas": _offers(row, ideas.get(row["id"], []), currency),
        }
        for row in listed.rows
    ]
    context = {"rows": rows, "next": listed.next_cursor, "query": query, "acts": _acts(visitor)}
    return page(web, visitor, "desk/finance_exceptions.html", Head("Exceptions", (TODAY,)), context)


@router.get("/{number}")
def one(web: Web, visitor: Reader, number: Id) -> Response:
    with web.database.transaction() as session:
        rows = reconciliation.exceptions(session, status=None, only=number)
        if not rows:
            raise NotFound(f"there is no exception {number}")
        currency, ideas = suggested(session, [number])
        transfer = reconciliation.transfer_of(session, number)
    row = rows[0]
    undecided = row["status"] == "open" or row["resolution"] == Resolution.ACKNOWLEDGE.value
    context = {
        "one": row,
        "offers": _offers(row, ideas.get(number, []), currency),
        "acts": _acts(visitor) and undecided,
        "transfer": transfer,
        "rows": range(1, ROWS + 1),
    }
    return page(web, visitor, "desk/finance_exception.html", Head(f"Exception {number}", (TODAY, EXCEPTIONS)), context)


def _acts(visitor: Visitor) -> bool:
    return visitor.role in (KeyRole.FINANCE, KeyRole.OPERATOR)


def _offers(row: dict[str, Any], ideas: list[Suggestion], currency: Asset | None) -> list[dict[str, Any]]:
    """Suggestions as a button each: what it sends, and in words. One that needs more than a click has no button."""
    found = []
    if currency is None:
        return []
    for one in ideas:
        how: str = one.action.value
        simple = True
        if row["kind"] == OVERPAID:
            simple, how = one.action is Action.CREDIT, Resolution.ACKNOWLEDGE.value
        elif one.action is Action.REFUND:
            simple = bool(one.tenant)
        elif one.action is Action.APPLY:
            simple = all(units > 0 for _, units in one.to)
        parts = [(number, decimal_text(units, currency.exponent)) for number, units in one.to]
        found.append(
            {"how": how, "words": one.words(currency), "reason": one.reason, "simple": simple, "parts": parts,
             "together": one.together, "tenant": one.tenant}
        )  # fmt: skip
    return found


@router.post("/{number}/resolve")
def resolve(web: Web, visitor: Clerk, number: Id) -> Response:
    """Decide. Whoever comes second is told what the first did."""
    reason = visitor.form.text("reason", needed=True)
    how = visitor.form.text("how", needed=True)
    if how == WRITE_OFF and visitor.role is not KeyRole.FINANCE:
        raise Invalid("writing off is for the role finance")
    try:
        said = done_once(web, visitor, lambda joined: _decide(web, visitor, joined, (number, how, reason)))
    except Conflict as error:
        with web.database.transaction() as session:
            told = _told(session, number)
        raise Conflict(f"{error.what}{told}") from None
    return back_to(web, visitor, "/finance/exceptions", f"Exception {number}: {said}.")


def _told(session: Session, number: int) -> str:
    rows = reconciliation.exceptions(session, status=None, only=number)
    if not rows or rows[0]["status"] == "open":
        return ""
    return f": {rows[0]['reason']}" if rows[0]["reason"] else ""


def _decide(web: Web, visitor: Visitor, joined: Joined, asked: tuple[int, str, str]) -> str:
    number, how, reason = asked
    form, why = visitor.form, Why(reason=reason, actor=visitor.actor)
    if how == WRITE_OFF:
        return _give_up(web, joined, number, why)
    if how not in set(Resolution):
        raise Invalid(f"{how!r} is nothing that can be done")
    rate = form.text("rate", most=40)
    credited = Credited(form.text("tenant", most=40), parse_rate(rate) if rate else None)
    if how == Resolution.APPLY:
        numbers = [number, *_together(form)]
        return Applier(joined, web.clock).apply(numbers, _targets(form), credited=credited, **why)
    if rate and how != Resolution.CREDIT:
        raise Invalid("a rate is for money that is credited or applied")
    return Resolver(joined, web.clock).resolve(number, Resolution(how), credited=credited, **why)


def _give_up(web: Web, joined: Joined, number: int, why: Why) -> str:
    """The invoice's rest is written off; the question is answered with it."""
    with joined.transaction() as session:
        rows = reconciliation.exceptions(session, status=None, only=number)
        if not rows or not rows[0]["invoice"]:
            raise Invalid(f"exception {number} is about no invoice")
        if rows[0]["status"] != "open":
            raise Conflict(f"exception {number} was resolved by {rows[0]['resolved_by']} ({rows[0]['resolution']})")
        Abandoner(joined, web.clock).write_off(rows[0]["invoice"], **why)
        session.expire_all()
        if reconciliation.exceptions(session, status="open", only=number):
            Resolver(joined, web.clock).resolve(number, Resolution.ACKNOWLEDGE, **why)
    return f"what was left of {rows[0]['invoice']} is written off"


def _targets(form: Form) -> list[To]:
    """The invoices of the form's rows, with their amounts. Empty rows are none."""
    numbers, amounts = form.many("invoice", most=AT_ONCE), form.many("amount", most=AT_ONCE)
    amounts += [""] * (len(numbers) - len(amounts))
    return [To(one.strip(), units.strip()) for one, units in zip(numbers, amounts, strict=False) if one.strip()]


def _together(form: Form) -> list[int]:
    """Other exceptions whose money is applied with this one's: `4, 7`."""
    found = []
    for one in form.text("together").replace(",", " ").split():
        if not (one.isascii() and one.isdigit()) or not 0 < int(one) < 2**63:
            raise Invalid(f"{one} is no exception")
        found.append(int(one))
    return found

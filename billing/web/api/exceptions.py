"""Exceptions: what waits for a person, what may be done about it, and the decision."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid, NotFound
from billing.core.money import Asset, decimal_text, parse_rate
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.reconciliation import store as reconciliation
from billing.reconciliation.applier import AT_ONCE, Applier, To
from billing.reconciliation.resolver import Credited, Resolution, Resolver
from billing.reconciliation.suggester import suggested
from billing.reconciliation.suggestion import Action, Suggestion
from billing.web.auth import Caller, Desk, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Name, Slug

router = APIRouter(prefix="/api/v1/exceptions", tags=["exceptions"], responses=PROBLEM_RESPONSES, route_class=Route)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,30}(\.[0-9]{1,18})?$")]


class ExceptionStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


class Part(BaseModel):
    invoice: str
    amount: str


class SuggestionOut(BaseModel):
    """`together` are other exceptions to resolve with it; `rest` would be the tenant's credit. Amounts are decimal text."""

    action: Action
    to: list[Part]
    together: list[int]
    tenant: str | None
    rest: str
    currency: str
    reason: str


class ExceptionOut(BaseModel):
    """`resolution`, `reason` and `resolved_by` are empty while it is open. `suggestions` are what may be done, the likeliest
    first."""

    id: int
    kind: str
    tenant: str | None
    invoice: str | None
    tx_hash: str | None
    detail: str
    suggestion: str
    status: str
    resolution: str
    reason: str
    resolved_by: str
    created_at: str
    resolved_at: str | None
    suggestions: list[SuggestionOut]


class Resolved(ExceptionOut):
    """`booked` says in words what was booked."""

    booked: str


class ExceptionQuery(PageQuery):
    status: ExceptionStatus = ExceptionStatus.OPEN


class Target(BaseModel):
    """An invoice, and how much of the money it shall have; left out: as much as it takes."""

    model_config = ConfigDict(extra="forbid")

    invoice: Annotated[str, Field(min_length=1, max_length=40)]
    amount: Amount | None = None


class Resolve(BaseModel):
    """`to` and `together` (other exceptions whose money is applied with it) are for `apply`. `tenant` says whose money it is, when
    that is not known, or another one's; `rate` what one token is worth, when no feed could say."""

    model_config = ConfigDict(extra="forbid")

    how: Resolution = Field(alias="as")
    reason: Name
    to: list[Target] = Field(default_factory=list, max_length=AT_ONCE)
    together: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(default_factory=list, max_length=AT_ONCE - 1)
    tenant: Slug | None = None
    rate: Amount | None = None


@router.get("", summary="List exceptions")
def list_exceptions(web: Web, caller: Staff, query: Annotated[ExceptionQuery, Query()]) -> Listing[ExceptionOut]:
    status = None if query.status is ExceptionStatus.ALL else query.status.value
    with web.database.transaction() as session:
        rows = reconciliation.exceptions(
            session, status=status, after_id=query.after("exceptions"), limit=query.limit + 1
        )
        page = sliced("exceptions", [(row["id"], row) for row in rows], query.limit)
        currency, found = suggested(session, [row["id"] for row in page.rows])
    items = [ExceptionOut.model_validate(_out(row, currency, found.get(row["id"], []))) for row in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/{exception}", summary="One exception, and what may be done about it")
def get_exception(web: Web, caller: Staff, exception: Id) -> ExceptionOut:
    with web.database.transaction() as session:
        return ExceptionOut.model_validate(_one(session, exception))


@router.post("/{exception}/resolve", summary="Decide about an exception", response_model=Resolved)
def resolve_exception(web: Web, caller: Desk, exception: Id, body: Resolve, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        booked = _resolve(web, caller, joined, (exception, body))
        return Answer(200, Resolved.model_validate({**_one(session, exception), "booked": booked}))

    return once(web, caller, key, Request("POST", f"/api/v1/exceptions/{exception}/resolve", body), write)


def _resolve(web: Wired, caller: Caller, joined: Joined, asked: tuple[int, Resolve]) -> str:
    number, body = asked
    if body.how is not Resolution.APPLY and (body.to or body.together):
        raise Invalid(f"{body.how} is for one exception, without invoices", remedy="apply pays invoices")
    if body.rate is not None and body.how not in (Resolution.APPLY, Resolution.CREDIT):
        raise Invalid("a rate is for money that is credited or applied")
    credited = Credited(body.tenant or "", parse_rate(body.rate) if body.rate is not None else None)
    why: dict[str, Any] = {"reason": body.reason, "actor": caller.actor, "credited": credited}
    if body.how is Resolution.APPLY:
        to = [To(one.invoice, one.amount or "") for one in body.to]
        return Applier(joined, web.clock).apply([number, *body.together], to, **why)
    return Resolver(joined, web.clock).resolve(number, body.how, **why)


def _one(session: Session, number: int) -> dict[str, Any]:
    rows = reconciliation.exceptions(session, status=None, only=number)
    if not rows:
        raise NotFound(f"there is no exception {number}")
    currency, found = suggested(session, [number])
    return _out(rows[0], currency, found.get(number, []))


def _out(row: dict[str, Any], currency: Asset | None, found: list[Suggestion]) -> dict[str, Any]:
    resolved_at = row["resolved_at"]
    return {
        **row,
        "created_at": rfc3339(row["created_at"]),
        "resolved_at": None if resolved_at is None else rfc3339(resolved_at),
        "suggestions": [_suggestion(one, currency) for one in found if currency is not None],
    }


def _suggestion(one: Suggestion, currency: Asset) -> SuggestionOut:
    return SuggestionOut(
        action=one.action,
        to=[Part(invoice=number, amount=decimal_text(units, currency.exponent)) for number, units in one.to],
        together=list(one.together),
        tenant=one.tenant or None,
        rest=decimal_text(one.rest, currency.exponent),
        currency=currency.code,
        reason=one.reason,
    )

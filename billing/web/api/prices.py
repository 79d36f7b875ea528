"""Price books: what is in force, what was applied, what a book would change, and applying one."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.money import Money, decimal_text
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing.store import closed_until
from billing.pricing.rater import Rater
from billing.pricing.store import books
from billing.pricing.store.books import PriceChange
from billing.web.auth import Desk, Finance, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import end_text

router = APIRouter(prefix="/api/v1", tags=["prices"], responses=PROBLEM_RESPONSES, route_class=Route)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


class PriceOut(BaseModel):
    """`price` says it in words; `model` names how it is reckoned. `tenant` is null for the list, `until` while it is open."""

    sku: str
    tenant: str | None
    title: str
    models: list[str]
    profile: str
    meter: str | None
    currency: str
    model: str
    price: str
    per_hour: str | None
    per_unit: str | None
    unit_size: int | None
    since: str = Field(alias="from")
    until: str | None


class AgreementOut(BaseModel):
    """A fee, a minimum or a discount. `amount` is decimal text in the currency of the prices."""

    code: str
    kind: str
    title: str
    tenant: str | None
    skus: list[str]
    amount: str | None
    percent: str | None
    prorate: bool
    since: str = Field(alias="from")
    until: str | None


class BookOut(BaseModel):
    """A price book that was applied. `digest` is the SHA-256 of its text."""

    id: int
    digest: str
    applied_at: str
    applied_by: str


class BookText(BookOut):
    """`content` is the book as it was applied, byte for byte (TOML)."""

    content: str


class NewBook(BaseModel):
    """`content` is a price book (TOML), whole: what it does not name is not sold any more."""

    model_config = ConfigDict(extra="forbid")

    content: str = Field(min_length=1, max_length=500_000)


class ChangeOut(BaseModel):
    """`before` or `after` is null when there is no price there."""

    sku: str
    tenant: str | None
    since: str = Field(alias="from")
    until: str | None
    before: str | None
    after: str | None


class EffectOut(BaseModel):
    """What the running month costs a tenant so far; null: cannot be told."""

    tenant: str
    before: str | None
    after: str | None


class CheckOut(BaseModel):
    """`untold` says why costs cannot be told."""

    currency: str
    changes: list[ChangeOut]
    effects: list[EffectOut]
    untold: list[str]


class AppliedOut(BaseModel):
    changes: list[ChangeOut]


@router.get("/prices", summary="The prices in force")
def list_prices(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[PriceOut]:
    after = query.after("prices")
    with web.database.transaction() as session:
        rows = books.prices(session)
    page = sliced("prices", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[PriceOut.model_validate(_dated(row)) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/agreements", summary="The fees, minimums and discounts in force")
def list_agreements(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[AgreementOut]:
    after = query.after("agreements")
    with web.database.transaction() as session:
        rows = books.agreements(session)
        exponent = books.currency(session).exponent if rows else 0
    page = sliced("agreements", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    items = [
        AgreementOut.model_validate(
            {**_dated(row), "amount": None if row["amount"] is None else decimal_text(int(row["amount"]), exponent)}
        )
        for row in page.rows
    ]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/price-books", summary="List price books that were applied")
def list_books(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[BookOut]:
    with web.database.transaction() as session:
        rows = books.applied(session, after_id=query.after("books"), limit=query.limit + 1)
    page = sliced("books", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[BookOut.model_validate(_book(row)) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/price-books/{book}", summary="A price book, as it was applied")
def get_book(web: Web, caller: Staff, book: Id) -> BookText:
    with web.database.transaction() as session:
        return BookText.model_validate(_book(books.one(session, book)))


@router.post("/price-books/check", summary="What a price book would change")
def check_book(web: Web, caller: Desk, body: NewBook) -> CheckOut:
    """Changes nothing."""
    changes, found = web.rater.check(body.content), web.rater.effect(body.content)

    def money(units: int | None) -> str | None:
        return None if units is None else Money(units, found.currency).text()

    return CheckOut(
        currency=found.currency.code,
        changes=[_change(one) for one in changes],
        effects=[
            EffectOut(tenant=one.tenant, before=money(one.before), after=money(one.after)) for one in found.changed
        ],
        untold=found.untold,
    )


@router.post("/price-books", summary="Put a price book in force", status_code=201, response_model=AppliedOut)
def apply_book(web: Web, caller: Finance, body: NewBook, key: IdempotencyKey = None) -> Response:
    """All of it, or nothing. Time that was invoiced is not priced again: 409."""

    def write(joined: Joined, session: Session) -> Answer:
        changes = Rater(joined, web.clock, closed_until, web.meters).apply(body.content, actor=caller.actor)
        return Answer(201, AppliedOut(changes=[_change(one) for one in changes]))

    return once(web, caller, key, Request("POST", "/api/v1/price-books", body), write)


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    until: datetime | None = row["until"]
    return {**row, "from": rfc3339(row["from"]), "until": None if until is None else rfc3339(until)}


def _book(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "applied_at": rfc3339(row["applied_at"])}


def _change(one: PriceChange) -> ChangeOut:
    return ChangeOut.model_validate(
        {
            "sku": one.sku,
            "tenant": one.tenant or None,
            "from": rfc3339(one.span.start),
            "until": end_text(one.span.end),
            "before": None if one.before is None else str(one.before),
            "after": None if one.after is None else str(one.after),
        }
    )

"""Prices in force, the books that were applied, what differs between two, and what a book would change."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.core.money import Money
from billing.core.period import Span
from billing.pricing.agreement import Agreement
from billing.pricing.comparison import differences, renamed
from billing.pricing.pricebook import parse
from billing.pricing.store import books, history
from billing.pricing.tariff import Tariff
from billing.web import format as write
from billing.web.deps import Web
from billing.web.desk.nav import Link
from billing.web.desk.operations_query import HOME, PAGE_ROWS, Asked, Pricer, Reader, page_of
from billing.web.desk.shell import Head, page
from billing.web.forms import Form

router = APIRouter(include_in_schema=False)

PRICES: Final = Link("Prices", "/operations/prices")
BOOK_MAX: Final = 60_000
"""Characters that fit into a form. A larger book is checked by `stablemeter price check`."""


class Compared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    before: int = Field(ge=1, lt=2**63)
    after: int = Field(ge=1, lt=2**63)


@router.get("/operations/prices")
def show_prices(web: Web, visitor: Reader, asked: Annotated[Asked, Query()]) -> Response:
    with web.database.transaction() as session:
        prices, agreed = books.prices(session), books.agreements(session)
        try:
            currency = books.currency(session)
        except NotFound:  # before the first book
            currency = None
        found = history.applied(session, before_id=asked.before("books"), limit=PAGE_ROWS + 1)
    rows, following = page_of("books", found)
    context = {
        "prices": prices, "agreements": agreed, "books": rows, "next": following, "may_check": visitor.role != "auditor",
        "now": web.clock.now(), "currency": currency,
    }  # fmt: skip
    return page(web, visitor, "desk/operations_prices.html", Head("Prices", (HOME,)), context)


@router.get("/operations/prices/diff")
def compare(web: Web, visitor: Reader, asked: Annotated[Compared, Query()]) -> Response:
    """What differs between two books as they were applied."""
    with web.database.transaction() as session:
        before, after = (parse(history.content(session, one)) for one in (asked.before, asked.after))
        known = history.applied(session, limit=200)
    context = {
        "rows": [_change(one.code, one.tenant, one.span, one.before, one.after) for one in differences(before, after)],
        "renamed": renamed(before, after), "before": asked.before, "after": asked.after,
        "choices": [(one["id"], f"{one['id']}, {write.moment(one['applied_at'])}") for one in known],
        "currencies": [(one.currency, one.exponent) for one in (before, after)],
    }  # fmt: skip
    title = f"Book {asked.before} to {asked.after}"
    return page(web, visitor, "desk/operations_prices_diff.html", Head(title, (HOME, PRICES)), context)


@router.get("/operations/prices/check")
def ask_book(web: Web, visitor: Pricer) -> Response:
    return page(web, visitor, "desk/operations_prices_check.html", Head("Check a book", (HOME, PRICES)), _tried(""))


@router.post("/operations/prices/check")
def check(web: Web, visitor: Pricer) -> Response:
    """What applying a book would change, and what that makes of the running month so far. Nothing is changed."""
    typed = {
        "book": [one.replace("\t", "  ") for one in visitor.form.fields.get("book", ())]
    }  # books may be indented by tabs
    content = Form(typed).text("book", most=BOOK_MAX, needed=True, lines=True)
    changes = web.rater.check(content)
    effects, untold = [], list[str]()
    if changes:
        found = web.rater.effect(content)
        untold = found.untold
        effects = [
            (
                one.tenant,
                *("unknown" if n is None else write.amount(Money(n, found.currency)) for n in (one.before, one.after)),
            )
            for one in found.changed
        ]
    context = _tried(content) | {
        "rows": [_change(one.sku, one.tenant, one.span, one.before, one.after) for one in changes],
        "effects": effects, "untold": untold, "checked": True,
    }  # fmt: skip
    return page(web, visitor, "desk/operations_prices_check.html", Head("Check a book", (HOME, PRICES)), context)


def _tried(content: str) -> dict[str, Any]:
    return {"content": content, "most": BOOK_MAX, "rows": [], "effects": [], "untold": [], "checked": False}


def _change(
    code: str, tenant: str, span: Span, before: Tariff | Agreement | None, after: Tariff | Agreement | None
) -> dict[str, Any]:  # fmt: skip
    kind = "added" if before is None else "taken away" if after is None else "changed"
    return {"code": code, "tenant": tenant, "span": span, "before": before, "after": after, "kind": kind}


@router.get("/operations/prices/books/{book}")
def one_book(web: Web, visitor: Reader, book: Annotated[int, Path(ge=1, lt=2**63)]) -> Response:
    """A book as it was applied, byte for byte."""
    with web.database.transaction() as session:
        content = history.content(session, book)
        known = next((one for one in history.applied(session, before_id=book + 1, limit=1)), None)
    context = {"content": content, "book": known}
    return page(web, visitor, "desk/operations_prices_book.html", Head(f"Book {book}", (HOME, PRICES)), context)

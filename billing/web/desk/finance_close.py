"""Closing a month: everything that must hold, what is missing, and the closed months with their files."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.closing.closed import Needed
from billing.core.errors import Invalid, NotFound
from billing.core.period import month_of, parse_month
from billing.reports.store import finance as store
from billing.tenants.keys import KeyRole
from billing.web.deps import Web
from billing.web.desk.finance import TODAY, Decider, Reader
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, back_to, page
from billing.web.files import file_response

router = APIRouter(prefix="/finance/close", include_in_schema=False)

CLOSE: Final = Link("Month close", "/finance/close")
Month = Annotated[str, Path(max_length=20)]
TITLES: Final = {
    Needed.OVER: ("The month is over", ""),
    Needed.ORDER: ("All months before it are closed", "/finance/close"),
    Needed.USAGE: ("Usage: everything that was used in it is invoiced", "/finance/invoices?period="),
    Needed.TRANSFERS: ("Every transfer of it is final and booked", "/finance/payments?period="),
    Needed.CHAINS: ("Every chain is final and read twice up to its end", ""),
}


class CloseQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    period: str = Field(default="", max_length=20)


@router.get("")
def checklist(web: Web, visitor: Reader, query: Annotated[CloseQuery, Query()]) -> Response:
    """Of the oldest month that is open, unless another is asked for."""
    month = parse_month(query.period) if query.period else web.closer.first_open() or month_of(web.clock.now())
    label = f"{month.start:%Y-%m}"
    closed = web.closer.listed()
    done = next((one for one in closed if one.period == label and one.files), None)
    conditions = [] if done else web.closer.conditions(month)
    with web.database.transaction() as session:
        questions = store.questions(session, web.clock.now())
    context = {
        "label": label,
        "done": done,
        "closed": closed,
        "conditions": [
            (one, *TITLES[one.needed], label if TITLES[one.needed][1].endswith("=") else "") for one in conditions
        ],
        "ready": bool(conditions) and not any(one.lacks for one in conditions),
        "questions": sum(one["count"] for one in questions),
        "acts": visitor.role is KeyRole.FINANCE,
    }
    return page(web, visitor, "desk/finance_close.html", Head("Month close", (TODAY,)), context)


@router.post("")
def close(web: Web, visitor: Decider) -> Response:
    """It commits by itself: whoever books must not wait until all files are written. Sent twice, the second is told that the month
    is closed."""
    period = parse_month(visitor.form.text("period", most=20, needed=True))
    label = f"{period.start:%Y-%m}"
    if not visitor.form.ticked("sure"):
        raise Invalid(f"tick the box to close {label}")
    found = web.closer.close(period, actor=visitor.actor)
    said = f"The books of {label} are closed; {len(found.carried)} open questions are carried on."
    return back_to(web, visitor, f"/finance/close/{label}", said)


@router.get("/{period}")
def closed(web: Web, visitor: Reader, period: Month) -> Response:
    """A closed month: who closed it, what was frozen, and its files."""
    label = f"{parse_month(period).start:%Y-%m}"
    context = {"one": web.closer.closed(label)}
    return page(web, visitor, "desk/finance_closed.html", Head(label, (TODAY, CLOSE)), context)


@router.get("/{period}/files/{name}")
def file(
    web: Web, visitor: Reader, period: Month, name: Annotated[str, Path(max_length=100)], request: Request
) -> Response:
    """A file, as it was made at the close."""
    month = parse_month(period)

    def make() -> Iterator[bytes]:
        content = web.closer.kept(month, name)
        if content is None:
            raise NotFound(f"no file {name} was made of {period} at a close")
        return content

    return file_response(request, f"{period}-{name}", make)

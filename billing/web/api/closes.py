"""Closed months: close one, list them, get their files."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from billing.closing.closed import Closed
from billing.core.errors import NotFound
from billing.core.period import parse_month, rfc3339
from billing.db.engine import Session
from billing.web.auth import Finance, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.files import TYPES, file_response
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once

router = APIRouter(prefix="/api/v1/closes", tags=["closes"], responses=PROBLEM_RESPONSES, route_class=Route)

Month = Annotated[str, Path(max_length=20, description="A month, like 2026-10")]


class CarriedQuestion(BaseModel):
    kind: str
    subject: str
    detail: str


class ClosedFile(BaseModel):
    name: str
    bytes: int
    sha256: str


class CloseOut(BaseModel):
    """`carried` are the exceptions that were open. `charges` and `usage_digest` say what was charged for the month's usage until
    then (null: closed before that was kept). Without `files` the close was not finished: close it again."""

    period: str
    closed_at: str
    closed_by: str
    carried: list[CarriedQuestion]
    charges: int | None
    usage_digest: str | None
    files: list[ClosedFile]


class NewClose(BaseModel):
    model_config = ConfigDict(extra="forbid")

    period: str = Field(max_length=20, description="A month, like 2026-10")


@router.get("", summary="List closed months")
def list_closes(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[CloseOut]:
    """By age of their close."""
    after = query.after("closes")
    found = [(one.id, one) for one in sorted(web.closer.listed(), key=lambda one: one.id) if one.id > after]
    page = sliced("closes", found[: query.limit + 1], query.limit)
    return Listing(items=[_out(one) for one in page.rows], next_cursor=page.next_cursor)


@router.post("", summary="Close the books of a month", status_code=201, response_model=CloseOut)
def close(web: Web, caller: Finance, body: NewClose, key: IdempotencyKey = None) -> Response:
    """Nothing is booked into it any more, and its files never change. 409 while something may still change in it, when it is
    closed already, or while somebody else is closing one."""
    period = parse_month(body.period)

    def write(joined: Joined, session: Session) -> Answer:
        # It commits by itself: whoever books must not wait until all files are written.
        return Answer(201, _out(web.closer.close(period, actor=caller.actor)))

    return once(web, caller, key, Request("POST", "/api/v1/closes", body, f"/api/v1/closes/{body.period}"), write)


@router.get("/{period}", summary="One closed month")
def get_close(web: Web, caller: Staff, period: Month) -> CloseOut:
    parse_month(period)
    return _out(web.closer.closed(period))


@router.get(
    "/{period}/files/{name}",
    summary="A file, as it was made at the close",
    response_class=Response,
    responses={200: {"description": "The file", "content": {kind.partition(";")[0]: {} for kind in TYPES.values()}}},
)
def get_file(
    web: Web, caller: Staff, period: Month, name: Annotated[str, Path(max_length=100)], request: HttpRequest
) -> Response:
    month = parse_month(period)

    def make() -> Iterator[bytes]:
        content = web.closer.kept(month, name)
        if content is None:
            raise NotFound(f"no file {name} was made of {period} at a close")
        return content

    return file_response(request, f"{period}-{name}", make)


def _out(one: Closed) -> CloseOut:
    return CloseOut(
        period=one.period,
        closed_at=rfc3339(one.closed_at),
        closed_by=one.closed_by,
        carried=[CarriedQuestion(kind=kind, subject=subject, detail=detail) for kind, subject, detail in one.carried],
        charges=None if one.usage is None else one.usage.charges,
        usage_digest=None if one.usage is None else one.usage.digest,
        files=[ClosedFile(name=kept.name, bytes=kept.size, sha256=kept.sha256) for kept in one.files],
    )

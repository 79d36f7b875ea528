"""Exceptions: what waits for a person. They are resolved by `stablemeter exception resolve`."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.core.period import rfc3339
from billing.reconciliation import store as reconciliation
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES

router = APIRouter(prefix="/api/v1/exceptions", tags=["exceptions"], responses=PROBLEM_RESPONSES, route_class=Route)


class ExceptionStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


class ExceptionOut(BaseModel):
    """`resolution`, `reason` and `resolved_by` are empty while it is open."""

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


class ExceptionQuery(PageQuery):
    status: ExceptionStatus = ExceptionStatus.OPEN


@router.get("", summary="List exceptions")
def list_exceptions(web: Web, caller: Staff, query: Annotated[ExceptionQuery, Query()]) -> Listing[ExceptionOut]:
    status = None if query.status is ExceptionStatus.ALL else query.status.value
    with web.database.transaction() as session:
        rows = reconciliation.exceptions(
            session, status=status, after_id=query.after("exceptions"), limit=query.limit + 1
        )
    page = sliced("exceptions", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[_out(row) for row in page.rows], next_cursor=page.next_cursor)


def _out(row: dict[str, Any]) -> ExceptionOut:
    resolved_at = row["resolved_at"]
    times = {
        "created_at": rfc3339(row["created_at"]),
        "resolved_at": None if resolved_at is None else rfc3339(resolved_at),
    }
    return ExceptionOut.model_validate({**row, **times})

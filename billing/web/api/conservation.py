"""Conservation: where every GPU-second of whole days went, by day, host or GPU."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from billing.core.errors import Invalid
from billing.core.period import Span, parse_time
from billing.metering.store import days
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.schemas import Moment

router = APIRouter(prefix="/api/v1/conservation", tags=["usage"], responses=PROBLEM_RESPONSES, route_class=Route)

SPAN_MAX: Final = timedelta(days=366)


class ConservationOut(BaseModel):
    """GPU-seconds, share-weighted. `whole` is the time in service; the others add up to it. `key` is the day, host or GPU."""

    key: str
    gpus: int
    whole: int
    billed: int
    excluded: int
    disputed: int
    idle: int
    unattributed: int
    missing: int
    blind: int
    unread: int


class ConservationQuery(PageQuery):
    """Days in UTC: `from` is the first, `to` is not included. A day is there some minutes after it was read to its end."""

    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    by: days.By = days.By.DAY


@router.get("", summary="Where GPU-seconds went")
def list_conservation(
    web: Web, caller: Staff, query: Annotated[ConservationQuery, Query()]
) -> Listing[ConservationOut]:
    span = Span(parse_time(query.start), parse_time(query.end))
    if span.end - span.start > SPAN_MAX:
        raise Invalid("at most 366 days at once", remedy="ask for fewer")
    skipped = query.after("conservation")
    with web.database.transaction() as session:
        rows = days.listed(session, span, query.by, skip=skipped, limit=query.limit + 1)
    page = sliced("conservation", list(enumerate(rows, skipped + 1)), query.limit)
    return Listing(items=[ConservationOut(**row) for row in page.rows], next_cursor=page.next_cursor)

"""Reports as files. Of a closed month: the bytes that were made at the close."""

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid
from billing.core.period import Span, parse_month
from billing.reports.reporter import Format
from billing.web.auth import Staff, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Web, Wired
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.files import TYPES, file_response
from billing.web.schemas import Slug

FILES = {"description": "The file", "content": {kind.partition(";")[0]: {} for kind in TYPES.values()}}

router = APIRouter(prefix="/api/v1/reports", tags=["reports"], responses=PROBLEM_RESPONSES, route_class=Route)


class Report(StrEnum):
    RECONCILIATION = "reconciliation"
    JOURNAL = "journal"
    AGING = "aging"
    USAGE = "usage"


class FileFormat(StrEnum):
    """`beancount` is for the journal only."""

    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"
    BEANCOUNT = "beancount"


class ReportQuery(BaseModel):
    """An unknown parameter is refused."""

    model_config = ConfigDict(extra="forbid")

    period: str = Field(max_length=20, description="A month, like 2026-10")
    format: FileFormat = FileFormat.CSV


class StatementQuery(ReportQuery):
    tenant: Slug | None = Field(default=None, description="Needed, but for a tenant's own key")


@router.get(
    "/statement",
    summary="What a tenant was charged, paid and was credited in a month",
    response_class=Response,
    responses={200: FILES},
)
def get_statement(
    web: Web, caller: StaffOrTenant, query: Annotated[StatementQuery, Query()], request: Request
) -> Response:
    slug, period = query.tenant or caller.bearer.tenant, parse_month(query.period)
    if not slug:
        raise Invalid("say whose statement", remedy="tenant=...")
    with web.database.transaction() as session:
        caller.tenant_scope(session, slug)
    wanted, name = _table(query.format), f"statement-{slug}-{_label(period)}.{query.format}"
    return file_response(request, name, lambda: web.reporter.statement(slug, period, wanted))


@router.get("/{report}", summary="A month as a file", response_class=Response, responses={200: FILES})
def get_report(
    web: Web, caller: Staff, report: Report, query: Annotated[ReportQuery, Query()], request: Request
) -> Response:
    """One row for each invoice and payment; each posting; each open amount, by how long it is overdue at the month's end (in the
    running month: today); or each device that was used, at each price."""
    period = parse_month(query.period)
    if query.format is FileFormat.BEANCOUNT and report is not Report.JOURNAL:
        raise Invalid(f"there is no {report} as beancount")

    def make() -> Iterator[bytes]:
        kept = web.closer.kept(period, f"{report}.{query.format}")
        return made(web, report, period, query.format) if kept is None else kept

    return file_response(request, f"{report}-{_label(period)}.{query.format}", make)


def made(web: Wired, report: Report, period: Span, wanted: FileFormat) -> Iterator[bytes]:
    """A report as things are now."""
    if wanted is FileFormat.BEANCOUNT:
        return web.reporter.beancount(period)
    match report:
        case Report.RECONCILIATION:
            return web.reporter.reconciliation(period, _table(wanted))
        case Report.JOURNAL:
            return web.reporter.journal(period, _table(wanted))
        case Report.USAGE:
            return web.reporter.usage(period, _table(wanted))
        case Report.AGING:
            last = min((period.end - timedelta(seconds=1)).date(), web.clock.now().date())
            return web.reporter.aging(last, _table(wanted))


def _table(wanted: FileFormat) -> Format:
    if wanted is FileFormat.BEANCOUNT:
        raise Invalid("only the journal comes as beancount")
    return Format(wanted.value)


def _label(period: Span) -> str:
    return f"{period.start:%Y-%m}"

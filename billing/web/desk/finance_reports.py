"""Reports of a month as files, tenants' statements, and what owners were settled."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid
from billing.core.period import month_of, parse_month
from billing.owners import store as owners
from billing.reports import store as reports
from billing.reports.books import STATEMENT, statement_rows
from billing.reports.owners import statements
from billing.reports.reporter import Format
from billing.tenants import store as tenants
from billing.web.api.reports import FileFormat, Report, ReportQuery, made
from billing.web.deps import Web
from billing.web.desk.finance import TODAY, Reader
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page
from billing.web.files import file_response

router = APIRouter(prefix="/finance/reports", include_in_schema=False)

REPORTS: Final = Link("Reports", "/finance/reports")
WORDS: Final = {
    Report.RECONCILIATION: "One row for each invoice and each payment",
    Report.JOURNAL: "One row for each posting",
    Report.AGING: "What is owed, by how long it is overdue",
    Report.USAGE: "Each device that was used, at each price",
}


class PeriodQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    period: str = Field(default="", max_length=20)


class TenantQuery(PeriodQuery):
    tenant: str = Field(max_length=40)


class StatementFile(TenantQuery):
    format: Format = Format.CSV


@router.get("")
def overview(web: Web, visitor: Reader, query: Annotated[PeriodQuery, Query()]) -> Response:
    month = parse_month(query.period) if query.period else month_of(web.clock.now())
    with web.database.transaction() as session:
        slugs = [one.slug for one in tenants.listed(session)]
    files = [(one, WORDS[one], [f for f in FileFormat if _has(one, f)]) for one in Report]
    context = {"period": f"{month.start:%Y-%m}", "files": files, "tenants": slugs}
    return page(web, visitor, "desk/finance_reports.html", Head("Reports", (TODAY,)), context)


def _has(report: Report, wanted: FileFormat) -> bool:
    return report is Report.JOURNAL or wanted is not FileFormat.BEANCOUNT


@router.get("/files/{report}")
def file(
    web: Web, visitor: Reader, report: Report, query: Annotated[ReportQuery, Query()], request: Request
) -> Response:
    """The same file as of the API: of a closed month as it was made at the close."""
    period = parse_month(query.period)
    if not _has(report, query.format):
        raise Invalid(f"there is no {report} as beancount")
    label = f"{period.start:%Y-%m}"

    def make() -> Iterator[bytes]:
        kept = web.closer.kept(period, f"{report}.{query.format}")
        return made(web, report, period, query.format) if kept is None else kept

    return file_response(request, f"{report}-{label}.{query.format}", make)


@router.get("/statement")
def statement(web: Web, visitor: Reader, query: Annotated[TenantQuery, Query()]) -> Response:
    """What a tenant was charged, paid and was credited in a month."""
    month = parse_month(query.period) if query.period else month_of(web.clock.now())
    first, end = month.start.date(), month.end.date()
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, query.tenant)
        before = reports.owed_before(session, tenant.id, first)
        booked = reports.statement(session, tenant.id, first, end)
        names = [one.name for one in STATEMENT]
        rows = [
            dict(zip(names, row, strict=True)) for row in statement_rows(before, booked, reports.exponents(session))
        ]
    context = {"rows": rows, "tenant": tenant, "period": f"{month.start:%Y-%m}", "formats": list(Format)}
    return page(
        web, visitor, "desk/finance_statement.html", Head(f"Statement of {tenant.slug}", (TODAY, REPORTS)), context
    )


@router.get("/statement/file")
def statement_file(web: Web, visitor: Reader, query: Annotated[StatementFile, Query()], request: Request) -> Response:
    period = parse_month(query.period)
    with web.database.transaction() as session:
        slug = tenants.by_slug(session, query.tenant).slug
    name = f"statement-{slug}-{period.start:%Y-%m}.{query.format}"
    return file_response(request, name, lambda: web.reporter.statement(slug, period, query.format))


@router.get("/owners")
def settlements(web: Web, visitor: Reader, query: Annotated[PeriodQuery, Query()]) -> Response:
    """What owners of GPUs were settled and paid in a month."""
    month = parse_month(query.period) if query.period else month_of(web.clock.now())
    with web.database.transaction() as session:
        found = [(one, statements(session, one.slug, month)) for one in owners.listed(session, limit=500)]
    context = {"rows": found, "period": f"{month.start:%Y-%m}"}
    return page(web, visitor, "desk/finance_owners.html", Head("Owners' settlements", (TODAY, REPORTS)), context)

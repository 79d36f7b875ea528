"""What a tenant sees of its own account: the overview, and what it used. A reseller sees its customers too; a customer of a
reseller sees what it used and no price: what it pays is between the two."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from billing.core.errors import Conflict, NotFound
from billing.core.money import Money
from billing.core.period import Span, month_of, parse_month
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.invoice import Invoice
from billing.invoicing.judging import judged
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.runway import DAY, Runway
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY
from billing.tenants.keys import KeyRole
from billing.tenants.tenant import Tenant
from billing.web import store
from billing.web.chart import bars
from billing.web.deps import PageQuery, Web, Wired, sliced
from billing.web.desk.nav import Link
from billing.web.desk.shell import Head, page
from billing.web.door import Page, Visitor
from billing.web.format import day, hours, recent_months
from billing.web.store import portal

router = APIRouter(include_in_schema=False)

TenantVisitor = Annotated[Visitor, Depends(Page(KeyRole.TENANT))]
OVERVIEW: Final = Link("Overview", "/portal")
OPEN_SHOWN: Final = 20
MONTHS: Final = 13
LEASES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Running:
    """The period that runs: what it comes to so far, and at its end if the present rate stays. None: something used has no price
    yet."""

    period: Span
    runway: Runway | None
    accrued: Money | None = None
    forecast: Money | None = None


@router.get("/portal")
def overview(web: Web, visitor: TenantVisitor) -> Response:
    """How things stand, at a glance."""
    now = web.clock.now()
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        payer_id, _ = tenants.payer_of(session, tenant.slug)
        judgement = judged(session, payer_id, now, web.suspend_after)
        mine = _own(session, tenant)
        month = month_of(now)
        used = portal.by_tenant(session, [one.id for one in mine], Span(month.start, now)) if now > month.start else []
        wanted = invoicing.Filter(tenant_id=tenant.id, status=InvoiceStatus.OPEN, limit=OPEN_SHOWN)
        found = [] if tenant.reseller else invoicing.listed(session, wanted)
        running = None if tenant.reseller else _running(web, session, tenant, now)
    context = {
        "tenant": tenant, "standing": judgement, "used": used, "invoices": found, "owed": _owed(found), "running": running,
        "seconds": sum(row["seconds"] for row in used), "now": now, "month": month,
    }  # fmt: skip
    return page(web, visitor, "desk/portal_overview.html", Head("Overview"), context)


def _own(session: Session, tenant: Tenant) -> list[Tenant]:
    """A tenant, and whom it pays for."""
    found = tenants.by_id(session, [tenant.id])
    return [tenant, *(one for one in found.values() if one.reseller == tenant.slug)]


def _owed(found: list[Invoice]) -> list[Money]:
    """What is left to pay, by currency."""
    totals: dict[str, Money] = {}
    for one in found:
        left = Money(one.remaining, one.currency)
        totals[one.currency.code] = totals[one.currency.code] + left if one.currency.code in totals else left
    return list(totals.values())


def _running(web: Wired, session: Session, tenant: Tenant, now: datetime) -> Running:
    period = tenants.cycles(session).get(tenant.id, MONTHLY).period_of(now)
    try:
        runway = web.forecaster.within(session, tenant.slug)
    except (Conflict, NotFound):  # no price book yet, or not a price for everything
        return Running(period, None)
    left = int((period.end - now).total_seconds())
    accrued = Money(runway.accrued, runway.currency)
    return Running(period, runway, accrued, Money(runway.accrued + runway.per_day * left // DAY, runway.currency))


class UsageQuery(PageQuery):
    month: str = Field(default="", pattern=r"^(\d{4}-\d{2})?$")
    of: str = Field(default="", max_length=40)


@router.get("/portal/usage")
def usage(web: Web, visitor: TenantVisitor, query: Annotated[UsageQuery, Query()]) -> Response:
    """A month by day, by lease and by device; of a reseller, also one of its customers."""
    now = web.clock.now()
    months = recent_months(now, MONTHS)
    span = parse_month(query.month or months[0])
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        mine = _own(session, tenant)
        shown = next((one for one in mine if one.slug == (query.of or tenant.slug)), None)
        if shown is None:
            raise NotFound(f"there is no customer {query.of}")
        days = portal.by_day(session, [shown.id], Span(span.start, min(span.end, max(now, span.start + timedelta(1)))))
        leases = portal.by_lease(session, shown.id, span, LEASES_MAX)
        rows = store.usage_by_device(session, shown.id, span, query.after("usagedevice"), query.limit + 1)
        customers = portal.by_tenant(session, [one.id for one in mine], span) if len(mine) > 1 else []
    devices = sliced("usagedevice", [(row["id"], row) for row in rows], query.limit)
    told = [(day(at), seconds) for at, seconds in days]
    context = {
        "months": [(one, one) for one in months], "whose": [(one.slug, one.name) for one in mine],
        "month": query.month or months[0], "of": shown.slug, "mine": mine, "customers": customers,
        "days": told, "leases": leases, "devices": devices, "total": sum(seconds for _, seconds in told),
        "chart": bars([seconds for _, seconds in told], [f"{at}: {hours(s)}" for at, s in told], "GPU-hours by day"),
    }  # fmt: skip
    return page(web, visitor, "desk/portal_usage.html", Head("Usage", (OVERVIEW,)), context)

"""Usage: where a tenant's GPU-hours went. The same intervals and the same evidence that its invoices are made of."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from billing.core.errors import Invalid
from billing.core.period import Span, parse_time, rfc3339
from billing.db.engine import Session
from billing.invoicing.draft import coverage_text
from billing.pricing.store import terms
from billing.pricing.store import usage as priced
from billing.web import store
from billing.web.auth import StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.schemas import Moment, Slug

router = APIRouter(prefix="/api/v1/usage", tags=["usage"], responses=PROBLEM_RESPONSES, route_class=Route)

SPAN_MAX: Final = timedelta(days=366)


class By(StrEnum):
    INTERVAL = "interval"
    DEVICE = "device"


class UsageQuery(PageQuery):
    """`from` (included) and `to` (not included) are RFC 3339 times; intervals are clipped to them."""

    tenant: Slug | None = Field(default=None, description="Needed, but for a tenant's own key")
    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    by: By = By.INTERVAL


class UsedDevice(BaseModel):
    """`gpu_instance` and `profile` are empty for a whole GPU; `sku` is null when nothing that is sold lists the device."""

    gpu: str
    gpu_instance: str
    profile: str
    model: str
    host: str
    sku: str | None
    seconds: int


class UsageItem(UsedDevice):
    """One billable interval of a device (by=interval), or all seconds of a device (by=device; then without times)."""

    start: str | None = None
    end: str | None = None
    basis: str | None = None
    bridged: bool | None = None
    lease: str | None = None


class Excluded(BaseModel):
    reason: str
    seconds: int


class SkuTotal(BaseModel):
    """`coverage` is the share of the seconds that was also measured; null while the SKU has no price. `bridged_seconds`
    are billed though they were not seen: gaps that the tenant's gap policy bridges."""

    sku: str | None
    seconds: int
    coverage: str | None
    bridged_seconds: int
    excluded: list[Excluded]


class Totals(BaseModel):
    seconds: int
    by_sku: list[SkuTotal]


class UsageOut(BaseModel):
    """Seconds are device-seconds. `totals` are for the whole span, and come with the first page only."""

    tenant: str
    start: str
    end: str
    totals: Totals | None
    items: list[UsageItem]
    next_cursor: str | None


@router.get("", summary="A tenant's billable time")
def get_usage(web: Web, caller: StaffOrTenant, query: Annotated[UsageQuery, Query()]) -> UsageOut:
    slug = query.tenant or caller.bearer.tenant
    if not slug:
        raise Invalid("say whose usage", remedy="tenant=...")
    span = Span(parse_time(query.start), parse_time(query.end))
    if span.end - span.start > SPAN_MAX:
        raise Invalid(f"at most {SPAN_MAX.days} days at once")
    kind = f"usage{query.by}"
    with web.database.transaction() as session:
        tenant = caller.tenant_scope(session, slug)
        assert tenant is not None
        read = store.usage_intervals if query.by is By.INTERVAL else store.usage_by_device
        rows = read(session, tenant, span, query.after(kind), query.limit + 1)
        totals = None if query.cursor else _totals(session, tenant, span)
    page = sliced(kind, [(row["id"], row) for row in rows], query.limit)
    return UsageOut(
        tenant=slug,
        start=rfc3339(span.start),
        end=rfc3339(span.end),
        totals=totals,
        items=[_item(row) for row in page.rows],
        next_cursor=page.next_cursor,
    )


def _totals(session: Session, tenant: int, span: Span) -> Totals:
    found = store.usage_by_sku(session, tenant, span)
    measured: dict[str, int] = {}
    bridged: dict[str, int] = {}
    excluded: dict[str, dict[str, int]] = {}
    for key, evidence in priced.evidence(session, span, terms.in_force(session, span), [tenant]).items():
        measured[key.sku] = measured.get(key.sku, 0) + evidence.measured_seconds
        bridged[key.sku] = bridged.get(key.sku, 0) + evidence.bridged_seconds
        reasons = excluded.setdefault(key.sku, {})
        for reason, seconds in evidence.excluded:
            reasons[reason] = reasons.get(reason, 0) + seconds
    by_sku = [
        SkuTotal(
            sku=sku,
            seconds=seconds,
            coverage=coverage_text(measured[sku], seconds) if sku in measured else None,
            bridged_seconds=bridged.get(sku or "", 0),
            excluded=[
                Excluded(reason=reason, seconds=one) for reason, one in sorted(excluded.get(sku or "", {}).items())
            ],
        )
        for sku, seconds in found
    ]
    return Totals(seconds=sum(seconds for _, seconds in found), by_sku=by_sku)


def _item(row: dict[str, Any]) -> UsageItem:
    times = {name: rfc3339(row[column]) for name, column in (("start", "start"), ("end", "until")) if column in row}
    return UsageItem(
        gpu=row["uuid"],
        gpu_instance=row["gpu_i_id"],
        profile=row["profile"],
        model=row["model"],
        host=row["host"],
        sku=row["sku"],
        seconds=row["seconds"],
        basis=row.get("basis"),
        bridged=row.get("bridged"),
        lease=row.get("lease"),
        **times,
    )

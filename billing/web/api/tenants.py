"""Tenants: who is billed."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.core.money import decimal_text
from billing.core.period import parse_time, rfc3339
from billing.db.engine import Session
from billing.invoicing.judging import judged
from billing.invoicing.standing import Debt, Prepaid, Standing
from billing.invoicing.store.periods import closed_for
from billing.tenants.registrar import Details, GapChange, Registrar, TaxChange
from billing.tenants.store import gap_of, payer_of, tax_of
from billing.tenants.tax import TaxKind, TaxRule
from billing.tenants.tenant import GAP_SECONDS_MAX, Attribution, GapPolicy, GapRule, Tenant
from billing.web import store
from billing.web.auth import Finance, Operator, Staff, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Label, Moment, Name, Slug, Text, Units

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"], responses=PROBLEM_RESPONSES, route_class=Route)


class TaxOut(BaseModel):
    """How the tenant is taxed now. `rate` is a share as decimal text: 0.1 is ten percent."""

    kind: TaxKind
    name: str
    rate: str
    note: str


class TenantOut(BaseModel):
    """`tolerance_units` is in the smallest unit of the invoices' currency."""

    slug: str
    name: str
    legal_name: str
    country: str
    email: str
    attribution: Attribution
    reseller: str | None
    terms_days: int
    tolerance_units: str
    labels: list[str]
    gap_policy: GapPolicy
    gap_limit_seconds: int
    address: str
    tax_id: str
    purchase_order: str
    tax: TaxOut | None
    created_at: str


class NewTenant(BaseModel):
    """A label is `label` or `source:label`; labels count from `since` on, or from the start of time."""

    model_config = ConfigDict(extra="forbid")

    slug: Slug
    name: Name
    attribution: Attribution
    legal_name: Text = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    email: Text = ""
    reseller: Slug | None = None
    terms_days: int = Field(default=14, ge=0, le=3650)
    tolerance_units: Units = "1"
    labels: list[Label] = Field(default_factory=list, max_length=100)
    since: Moment | None = None
    gap_policy: GapPolicy = GapPolicy.EXCLUDE
    gap_limit_seconds: int = Field(default=0, ge=0, le=GAP_SECONDS_MAX)
    address: Text = ""
    tax_id: Text = ""
    purchase_order: Text = ""


class NewTax(BaseModel):
    """How the tenant is taxed from `from` on; left out: from where it was not invoiced yet. An invoice bears what is in force
    when its period ends. `standard` needs name and rate, the others the note that is printed."""

    model_config = ConfigDict(extra="forbid")

    kind: TaxKind = TaxKind.STANDARD
    name: Text = ""
    rate: Annotated[str, Field(pattern=r"^[01](\.\d{1,6})?$")] = "0"
    note: Text = ""
    since: Moment | None = Field(default=None, alias="from")
    reason: Text = ""


class NewDetails(BaseModel):
    """What the tenant's next invoices say of it. What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    address: Text | None = None
    tax_id: Text | None = None
    purchase_order: Text | None = None
    reason: Text = ""


class NewGapRule(BaseModel):
    """How gaps are taken from `from` on; left out: from where the tenant was not invoiced yet. Invoiced time is refused."""

    model_config = ConfigDict(extra="forbid")

    gap_policy: GapPolicy
    gap_limit_seconds: int = Field(default=0, ge=0, le=GAP_SECONDS_MAX)
    since: Moment | None = Field(default=None, alias="from")
    reason: Text = ""


@router.get("", summary="List tenants")
def list_tenants(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[TenantOut]:
    with web.database.transaction() as session:
        rows = store.tenants(session, after_id=query.after("tenants"), limit=query.limit + 1)
        page = sliced("tenants", [(row["id"], row) for row in rows], query.limit)
        items = [_out(session, row, web.clock.now()) for row in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/{slug}", summary="One tenant")
def get_tenant(web: Web, caller: Staff, slug: Annotated[str, Path(max_length=40)]) -> TenantOut:
    with web.database.transaction() as session:
        return _one(session, slug, web.clock.now())


class OverdueOut(BaseModel):
    """What is overdue in a currency, as decimal text."""

    currency: str
    amount: str
    invoices: list[str]


class PrepaidOut(BaseModel):
    """What a tenant that pays beforehand holds now; what it `accrued` (used, not invoiced) by `accrued_at`; what is left of it."""

    currency: str
    held: str
    accrued: str
    available: str
    accrued_at: str


class StandingOut(BaseModel):
    """`good`, `overdue`, or `suspended`: overdue for longer than `dunning.suspend_after_days`, with no payment on its way; or a
    prepaid tenant has nothing left and its terms say so. `prepaid` is null for who pays afterwards.
    `suspends_at` is when the next step comes if nothing is paid. Of a reseller's customer it is the reseller's standing that
    counts, and what the reseller owes is told to staff only."""

    tenant: str
    payer: str
    standing: Standing
    since: str | None
    suspends_at: str | None
    overdue: list[OverdueOut]
    prepaid: PrepaidOut | None


@router.get("/{slug}/standing", summary="May a tenant go on")
def get_standing(web: Web, caller: StaffOrTenant, slug: Annotated[str, Path(max_length=40)]) -> StandingOut:
    with web.database.transaction() as session:
        caller.tenant_scope(session, slug)
        payer_id, payer = payer_of(session, slug)
        found = judged(session, payer_id, web.clock.now(), web.suspend_after)
    owed: dict[tuple[str, int], list[Debt]] = {}
    for one in found.overdue if caller.may_see(payer_id) else ():
        owed.setdefault((one.currency, one.exponent), []).append(one)
    return StandingOut(
        tenant=slug,
        payer=payer if caller.may_see(payer_id) else slug,
        standing=found.standing,
        since=None if found.since is None else rfc3339(found.since),
        suspends_at=None if found.suspends_at is None else rfc3339(found.suspends_at),
        overdue=[
            OverdueOut(
                currency=currency,
                amount=decimal_text(sum(one.remaining for one in debts), exponent),
                invoices=[one.invoice for one in debts],
            )
            for (currency, exponent), debts in sorted(owed.items())
        ],
        prepaid=_prepaid(found.prepaid) if found.prepaid and caller.may_see(payer_id) else None,
    )


def _prepaid(one: Prepaid) -> PrepaidOut:
    def money(units: int) -> str:
        return decimal_text(units, one.currency.exponent)

    return PrepaidOut(
        currency=one.currency.code,
        held=money(one.held),
        accrued=money(one.accrued),
        available=money(one.available),
        accrued_at=rfc3339(one.looked_at.replace(microsecond=0)),
    )


@router.post("", summary="Add a tenant", status_code=201, response_model=TenantOut)
def add_tenant(web: Web, caller: Operator, body: NewTenant, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        fields = body.model_dump(
            exclude={"labels", "since", "reseller", "tolerance_units", "gap_policy", "gap_limit_seconds"}
        )
        gap = GapRule(body.gap_policy, body.gap_limit_seconds)
        tenant = Tenant(**fields, reseller=body.reseller or "", tolerance_units=int(body.tolerance_units))
        since = parse_time(body.since) if body.since else None
        Registrar(joined, web.clock).add(tenant, body.labels, since=since, gap=gap, actor=caller.actor)
        return Answer(201, _one(session, body.slug, web.clock.now()))

    asked = Request("POST", "/api/v1/tenants", body, makes=f"/api/v1/tenants/{body.slug}")
    return once(web, caller, key, asked, write)


@router.post("/{slug}/gap-policy", summary="Change how a tenant's gaps are taken", response_model=TenantOut)
def set_gap_policy(
    web: Web, caller: Operator, slug: Annotated[str, Path(max_length=40)], body: NewGapRule, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        rule = GapRule(body.gap_policy, body.gap_limit_seconds)
        change = GapChange(rule, parse_time(body.since) if body.since else None, body.reason)
        Registrar(joined, web.clock, closed_for).set_gap(slug, change, actor=caller.actor)
        return Answer(200, _one(session, slug, web.clock.now()))

    return once(web, caller, key, Request("POST", f"/api/v1/tenants/{slug}/gap-policy", body), write)


@router.post("/{slug}/tax", summary="Tax a tenant in another way", response_model=TenantOut)
def set_tax(
    web: Web, caller: Finance, slug: Annotated[str, Path(max_length=40)], body: NewTax, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        rule = TaxRule(body.kind, body.name, Decimal(body.rate), body.note)
        change = TaxChange(rule, parse_time(body.since) if body.since else None, body.reason)
        Registrar(joined, web.clock, closed_for).set_tax(slug, change, actor=caller.actor)
        return Answer(200, _one(session, slug, web.clock.now()))

    return once(web, caller, key, Request("POST", f"/api/v1/tenants/{slug}/tax", body), write)


@router.post("/{slug}/details", summary="Change what a tenant's invoices say of it", response_model=TenantOut)
def set_details(
    web: Web, caller: Finance, slug: Annotated[str, Path(max_length=40)], body: NewDetails, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        given = Details(body.address, body.tax_id, body.purchase_order, body.reason)
        Registrar(joined, web.clock, closed_for).set_details(slug, given, actor=caller.actor)
        return Answer(200, _one(session, slug, web.clock.now()))

    return once(web, caller, key, Request("POST", f"/api/v1/tenants/{slug}/details", body), write)


def _one(session: Session, slug: str, now: datetime) -> TenantOut:
    rows = store.tenants(session, slug=slug)
    if not rows:
        raise NotFound(f"there is no tenant {slug}")
    return _out(session, rows[0], now)


def _out(session: Session, row: dict[str, Any], now: datetime) -> TenantOut:
    gap, tax = gap_of(session, row["id"], now), tax_of(session, row["id"], now)
    return TenantOut.model_validate(
        {
            **row,
            "gap_policy": gap.policy,
            "gap_limit_seconds": gap.limit_seconds,
            "tax": None
            if tax is None
            else {"kind": tax.kind, "name": tax.name, "rate": format(tax.rate, "f"), "note": tax.note},
            "created_at": rfc3339(row["created_at"]),
        }
    )

"""Deposit addresses and credit of tenants that pay before they use."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from billing.bootstrap import unfenced
from billing.core.errors import NotFound
from billing.core.money import decimal_text, parse_units
from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing.deposit import Deposit
from billing.invoicing.depositor import Shown, Wanted
from billing.invoicing.granter import Gift, Granter
from billing.invoicing.prepayer import Prepayer
from billing.invoicing.runway import RATE_DAYS, RATE_DAYS_MAX, Runway, Terms
from billing.invoicing.store import credit, deposits, prepaid
from billing.pricing import store as pricing
from billing.web import store
from billing.web.api.invoices import document_response
from billing.web.auth import Caller, Desk, Finance, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, once
from billing.web.idempotency import Request as Asked
from billing.web.schemas import Name, Reference, Text

router = APIRouter(prefix="/api/v1/tenants", tags=["credit"], responses=PROBLEM_RESPONSES, route_class=Route)

Amount = Annotated[str, StringConstraints(pattern=r"^\d{1,13}(\.\d{1,4})?$")]
SlugPath = Annotated[str, Path(max_length=40)]


class TermsOut(BaseModel):
    """What counts, and by which rule: par (within a limit, if the document has one), or feed. `offered`: it is listened to
    today. What is not stays credited if it comes; it may come late."""

    chain_id: int
    token: str
    token_address: str
    decimals: int
    rule: str
    offered: bool


class DepositOut(BaseModel):
    """A tenant's deposit address: permanent, the same on every chain named. `replaces` is the number of the one before it,
    which still counts."""

    tenant: str
    number: str
    currency: str
    address: str
    document_digest: str
    issued_at: str
    replaces: str | None
    settlement: list[TermsOut]


class NewDeposit(BaseModel):
    """`renew` makes another address in place of the present one, with today's terms; it needs a reason."""

    model_config = ConfigDict(extra="forbid")

    renew: bool = False
    reason: Text = ""


@router.get("/{slug}/deposit-address", summary="A tenant's deposit address")
def get_deposit_address(web: Web, caller: StaffOrTenant, slug: SlugPath) -> DepositOut:
    with web.database.transaction() as session:
        return _out(web, _visible(session, caller, slug)[-1])


@router.get("/{slug}/deposit-address/document", summary="Its document, byte for byte", response_class=Response)
def get_deposit_document(
    web: Web, caller: StaffOrTenant, slug: SlugPath, request: Request,
    number: Annotated[str | None, Query(max_length=40, description="An earlier one's number; default: the present one")] = None,
) -> Response:  # fmt: skip
    with web.database.transaction() as session:
        found = [one for one in _visible(session, caller, slug) if number is None or one.number == number]
    if not found:
        raise NotFound(f"{slug} has no deposit address {number}")
    return document_response(request, found[-1].number, found[-1].content, found[-1].digest)


@router.post(
    "/{slug}/deposit-address",
    summary="Make a tenant's deposit address",
    response_model=DepositOut,
    responses={201: {"description": "It was made now", "model": DepositOut}},
)
def make_deposit_address(
    web: Web, caller: Desk, slug: SlugPath, body: NewDeposit, key: IdempotencyKey = None
) -> Response:
    """Makes it once (201), and answers it afterwards (200)."""
    given: list[Shown] = []

    def write(_joined: Joined, session: Session) -> Answer:
        given.append(web.depositor.within(session, Wanted(slug, body.renew, body.reason), actor=caller.actor))
        return Answer(201 if given[0].made else 200, _out(web, given[0].deposit))

    answer = once(web, caller, key, Asked("POST", f"/api/v1/tenants/{slug}/deposit-address", body), write)
    for shown in given:  # committed by now
        web.depositor.confirm(shown)
    return answer


class CreditOut(BaseModel):
    """Credit from one source: `promotional`, `prepaid` or `overpayment`; they are used in this order, oldest first. `reference` is
    the transaction that it came with, or the grant's name. What is not `final` is not used yet; what is `reversed` is gone."""

    kind: str
    reference: str
    currency: str
    amount: str
    left: str
    final: bool
    reversed: bool
    created_at: str


class NewGrant(BaseModel):
    """Promotional credit, in the currency of the prices."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    reason: Name
    reference: Reference | None = Field(default=None, description="Its name on invoices; default: one is made up")


class TermsOfCredit(BaseModel):
    """Its credit is low below `low_balance`, or when it lasts for fewer than `low_days` days."""

    low_balance: str | None
    low_days: int | None
    suspend_at_zero: bool


class NewTerms(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prepaid: bool
    reason: Name
    low_balance: Amount | None = None
    low_days: int | None = Field(default=None, ge=1, le=3650)
    suspend_at_zero: bool = False


class GrantOut(BaseModel):
    tenant: str
    currency: str
    amount: str
    reference: str


@router.get("/{slug}/credit", summary="A tenant's credit")
def list_credit(
    web: Web, caller: StaffOrTenant, slug: SlugPath, query: Annotated[PageQuery, Query()]
) -> Listing[CreditOut]:
    with web.database.transaction() as session:
        tenant_id = _tenant(session, caller, slug)
        rows = credit.credits_of(session, tenant_id, after_id=query.after("credit"), limit=query.limit + 1)
        page = sliced("credit", [(row["id"], row) for row in rows], query.limit)
        exponent = pricing.currency(session).exponent if rows else 0
    return Listing(items=[_credit(row, exponent) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/{slug}/credit", summary="Give promotional credit", status_code=201, response_model=GrantOut)
def grant_credit(web: Web, caller: Finance, slug: SlugPath, body: NewGrant, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, _session: Session) -> Answer:
        gift = Gift(slug, body.amount, body.reason, body.reference or "")
        given = Granter(joined, web.clock).grant(gift, actor=caller.actor)
        out = GrantOut(
            tenant=slug, currency=given.amount.asset.code, amount=given.amount.text(), reference=given.reference
        )
        return Answer(201, out)

    return once(web, caller, key, Asked("POST", f"/api/v1/tenants/{slug}/credit", body), write)


class RunwayOut(BaseModel):
    """How long a tenant's credit lasts. `available` is `held` (final credit) less `accrued` (used, not invoiced); `pending` waits
    for its chain. `per_day` is the rate of the last days. `days_left` and `runs_out_at` are null while nothing is used."""

    tenant: str
    currency: str
    held: str
    pending: str
    accrued: str
    available: str
    per_day: str
    days_left: int | None
    runs_out_at: str | None
    terms: TermsOfCredit | None


@router.get("/{slug}/runway", summary="How long a tenant's credit lasts")
def get_runway(
    web: Web, caller: StaffOrTenant, slug: SlugPath,
    days: Annotated[int, Query(ge=1, le=RATE_DAYS_MAX, description="Take the rate over so many days")] = RATE_DAYS,
) -> RunwayOut:  # fmt: skip
    with web.database.transaction() as session:
        tenant_id = _tenant(session, caller, slug)
        return _runway(slug, web.forecaster.within(session, slug, days), prepaid.terms_of(session, tenant_id))


@router.post("/{slug}/prepaid", summary="Let a tenant pay before it uses", response_model=RunwayOut)
def set_prepaid(web: Web, caller: Desk, slug: SlugPath, body: NewTerms, key: IdempotencyKey = None) -> Response:
    """All terms are set anew: what is left out holds no more. `prepaid` false: it pays after it used, as everybody."""

    def write(joined: Joined, session: Session) -> Answer:
        low = None if body.low_balance is None else parse_units(body.low_balance, pricing.currency(session)).units
        terms = Terms(low, body.low_days, body.suspend_at_zero) if body.prepaid else None
        Prepayer(joined, web.clock, web.forecaster, unfenced).agree(slug, terms, reason=body.reason, actor=caller.actor)
        return Answer(200, _runway(slug, web.forecaster.within(session, slug), terms))

    return once(web, caller, key, Asked("POST", f"/api/v1/tenants/{slug}/prepaid", body), write)


def _runway(slug: str, found: Runway, terms: Terms | None) -> RunwayOut:
    def money(units: int) -> str:
        return decimal_text(units, found.currency.exponent)

    return RunwayOut(
        tenant=slug,
        currency=found.currency.code,
        held=money(found.held),
        pending=money(found.pending),
        accrued=money(found.accrued),
        available=money(found.available),
        per_day=money(found.per_day),
        days_left=found.days_left,
        runs_out_at=None if found.runs_out_at is None else rfc3339(found.runs_out_at),
        terms=None
        if terms is None
        else TermsOfCredit(
            low_balance=None if terms.low_units is None else money(terms.low_units),
            low_days=terms.low_days,
            suspend_at_zero=terms.suspend_at_zero,
        ),
    )


def _tenant(session: Session, caller: Caller, slug: str) -> int:
    caller.tenant_scope(session, slug)
    return store.tenant_id(session, slug)


def _visible(session: Session, caller: Caller, slug: str) -> list[Deposit]:
    """A tenant's deposit addresses, oldest first. Raises NotFound when there is none."""
    found = deposits.of_tenant(session, _tenant(session, caller, slug))
    if not found:
        raise NotFound(f"{slug} has no deposit address", remedy=f"POST /api/v1/tenants/{slug}/deposit-address makes it")
    return found


def _out(web: Wired, deposit: Deposit) -> DepositOut:
    return DepositOut(
        tenant=deposit.tenant,
        number=deposit.number,
        currency=deposit.currency.code,
        address=checksum(deposit.address),
        document_digest=deposit.digest,
        issued_at=rfc3339(deposit.issued_at),
        replaces=deposit.replaces,
        settlement=[
            TermsOut(
                chain_id=terms.chain_id,
                token=terms.token,
                token_address=checksum(Address(terms.token_address)),
                decimals=terms.decimals,
                rule=terms.rule.kind,
                offered=(terms.chain_id, terms.token_address) in web.offered,
            )
            for terms in deposit.document.settlement
        ],
    )


def _credit(row: dict[str, Any], exponent: int) -> CreditOut:
    return CreditOut(
        kind=row["kind"],
        reference=row["reference"],
        currency=row["currency"],
        amount=decimal_text(row["units"], exponent),
        left=decimal_text(row["left"], exponent),
        final=row["final"],
        reversed=row["reversed"],
        created_at=rfc3339(row["created_at"]),
    )

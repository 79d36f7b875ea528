"""What is known of tenants: KYC and attestations."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.compliance import store as sanctions
from billing.compliance.register import UNKNOWN, Attestation, KycStatus
from billing.compliance.registrar import Register
from billing.compliance.store import known as store
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.web.auth import Allow, Caller, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Name

router = APIRouter(prefix="/api/v1/compliance", tags=["compliance"], responses=PROBLEM_RESPONSES, route_class=Route)

Officer = Annotated[Caller, Depends(Allow(KeyRole.OPERATOR, KeyRole.FINANCE))]
"""Says what is known of tenants."""

Slug = Annotated[str, Path(max_length=40)]
Day = Annotated[date, Field(description="A UTC day")]
Reason = Annotated[Name, Field(max_length=200)]
Kind = Annotated[str, Field(pattern=r"^[^\s]{1,40}$")]


class KycOut(BaseModel):
    status: KycStatus
    on: date
    reason: str
    by: str
    recorded_at: str


class AttestationOut(BaseModel):
    """It counts from `granted_on` until before `expires_on`, unless it was revoked first."""

    kind: str
    granted_on: date
    expires_on: date
    reference: str
    valid: bool
    recorded_at: str
    revoked_at: str | None
    revoked_reason: str


class KnownOut(BaseModel):
    """`kyc` is what counts; `history` is what was decided, the oldest first."""

    tenant: str
    legal_name: str
    country: str
    reseller: str | None
    kyc: KycStatus
    history: list[KycOut]
    attestations: list[AttestationOut]


class NewKyc(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: KycStatus
    on: Day | None = None
    reason: Reason


class NewAttestation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind
    granted_on: Day
    expires_on: Day
    reference: Name


class Revocation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Kind
    reference: Name
    reason: Reason


class ListOut(BaseModel):
    """A list of sanctioned addresses, as it counts now. `problem` is empty while all is well; null fields: never read."""

    name: str
    dated: str | None
    addresses: int | None
    digest: str | None
    problem: str


@router.get("/lists", summary="The lists that are screened against")
def list_lists(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[ListOut]:
    after = query.after("lists")
    web.screener.refresh()
    alarms = web.screener.alarms()
    with web.database.transaction() as session:
        known = {row["name"]: row for row in sanctions.lists(session)}
    rows = []
    for wanted in web.screener.policy.files:
        row = known.get(wanted.name, {})
        dated = row.get("dated")
        rows.append(
            ListOut(
                name=wanted.name,
                dated=None if dated is None else rfc3339(dated),
                addresses=row.get("addresses"),
                digest=row.get("digest"),
                problem=alarms.get(wanted.name, ""),
            )
        )
    page = sliced("lists", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=list(page.rows), next_cursor=page.next_cursor)


@router.get("/tenants/{slug}", summary="What is known of a tenant")
def get_known(web: Web, caller: Staff, slug: Slug) -> KnownOut:
    with web.database.transaction() as session:
        return _known(session, slug, web)


@router.post("/tenants/{slug}/kyc", summary="Decide about a tenant's KYC", response_model=KnownOut)
def decide_kyc(web: Web, caller: Officer, slug: Slug, body: NewKyc, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        register = Register(joined, web.clock)
        register.decide_kyc(_tenant(session, slug), body.status, on=body.on, reason=body.reason, actor=caller.actor)
        return Answer(200, _known(session, slug, web))

    return once(web, caller, key, Request("POST", f"/api/v1/compliance/tenants/{slug}/kyc", body), write)


@router.post("/tenants/{slug}/attestations", summary="Record an attestation", status_code=201, response_model=KnownOut)
def attest(web: Web, caller: Officer, slug: Slug, body: NewAttestation, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        given = Attestation(body.kind, body.granted_on, body.expires_on, body.reference)
        Register(joined, web.clock).attest(_tenant(session, slug), given, actor=caller.actor)
        return Answer(201, _known(session, slug, web))

    return once(web, caller, key, Request("POST", f"/api/v1/compliance/tenants/{slug}/attestations", body), write)


@router.post("/tenants/{slug}/attestations/revoke", summary="Revoke an attestation", response_model=KnownOut)
def revoke(web: Web, caller: Officer, slug: Slug, body: Revocation, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        of, register = _tenant(session, slug), Register(joined, web.clock)
        register.revoke(of, body.kind, body.reference, reason=body.reason, actor=caller.actor)
        return Answer(200, _known(session, slug, web))

    asked = Request("POST", f"/api/v1/compliance/tenants/{slug}/attestations/revoke", body)
    return once(web, caller, key, asked, write)


def _tenant(session: Session, slug: str) -> tuple[int, str]:
    return tenants.by_slug(session, slug).id, slug


def _known(session: Session, slug: str, web: Web) -> KnownOut:
    tenant, now = tenants.by_slug(session, slug), web.clock.now()
    known = store.known(session, [tenant.id]).get(tenant.id, UNKNOWN)
    return KnownOut(
        tenant=slug,
        legal_name=tenant.legal_name,
        country=tenant.country,
        reseller=tenant.reseller or None,
        kyc=known.status,
        history=[
            KycOut(
                status=one.status,
                on=one.decided_on,
                reason=one.reason,
                by=one.recorded_by,
                recorded_at=rfc3339(one.recorded_at),
            )
            for one in known.kyc
        ],
        attestations=[
            AttestationOut(
                kind=one.kind,
                granted_on=one.granted_on,
                expires_on=one.expires_on,
                reference=one.reference,
                valid=one.valid_at(now),
                recorded_at=rfc3339(one.recorded_at or now),
                revoked_at=None if one.revoked_at is None else rfc3339(one.revoked_at),
                revoked_reason=one.revoked_reason,
            )
            for one in known.attestations
        ],
    )

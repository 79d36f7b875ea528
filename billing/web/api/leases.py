"""Leases: which GPUs a tenant holds from when to when."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.period import FOREVER, Span, parse_time, rfc3339
from billing.db.engine import Session
from billing.leasing.leaser import Leaser
from billing.web import store
from billing.web.auth import Operator, StaffOrTenant
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Moment, Name, Reference, Slug, Text, end_text

router = APIRouter(prefix="/api/v1/leases", tags=["leases"], responses=PROBLEM_RESPONSES, route_class=Route)


class LeasedGpu(BaseModel):
    uuid: str
    host: str
    model: str


class LeaseOut(BaseModel):
    """All GPUs that were let under one reference. `end` is null while no end is set."""

    reference: str
    tenant: str
    start: str
    end: str | None
    gpus: list[LeasedGpu]
    created_at: str


class NewLease(BaseModel):
    """All GPUs of the hosts, and the GPUs by UUID: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    tenant: Slug
    start: Moment
    end: Moment | None = None
    hosts: list[Name] = Field(default_factory=list, max_length=1000)
    uuids: list[Name] = Field(default_factory=list, max_length=10_000)
    reference: Reference | None = None


class LeaseEnd(BaseModel):
    """Usage from `at` on is derived again."""

    model_config = ConfigDict(extra="forbid")

    at: Moment
    reason: Text = ""


class LeaseQuery(PageQuery):
    tenant: Slug | None = None


@router.get("", summary="List leases")
def list_leases(web: Web, caller: StaffOrTenant, query: Annotated[LeaseQuery, Query()]) -> Listing[LeaseOut]:
    with web.database.transaction() as session:
        tenant = caller.tenant_scope(session, query.tenant)
        rows = store.leases(session, tenant=tenant, after_id=query.after("leases"), limit=query.limit + 1)
    page = sliced("leases", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[_out(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("", summary="Let GPUs to a tenant", status_code=201, response_model=LeaseOut)
def add_lease(web: Web, caller: Operator, body: NewLease, key: IdempotencyKey = None) -> Response:
    span = Span(parse_time(body.start), parse_time(body.end) if body.end else FOREVER)

    def write(joined: Joined, session: Session) -> Answer:
        leases = Leaser(joined, web.clock, web.rules).add(
            body.tenant,
            span,
            hosts=body.hosts,
            uuids=body.uuids,
            reference=body.reference or "",
            actor=caller.actor,
        )
        return Answer(201, _one(session, leases[0].reference))

    return once(web, caller, key, Request("POST", "/api/v1/leases", body), write)


@router.post("/{reference}/end", summary="End a lease", response_model=LeaseOut)
def end_lease(
    web: Web,
    caller: Operator,
    reference: Annotated[str, Path(max_length=200)],
    body: LeaseEnd,
    key: IdempotencyKey = None,
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        Leaser(joined, web.clock).end(reference, parse_time(body.at), actor=caller.actor, reason=body.reason)
        return Answer(200, _one(session, reference))

    return once(web, caller, key, Request("POST", f"/api/v1/leases/{reference}/end", body), write)


def _one(session: Session, reference: str) -> LeaseOut:
    return _out(store.leases(session, tenant=None, reference=reference)[0])


def _out(row: dict[str, Any]) -> LeaseOut:
    return LeaseOut(
        reference=row["reference"],
        tenant=row["tenant"],
        start=rfc3339(row["start"]),
        end=end_text(row["until"]),
        gpus=[LeasedGpu.model_validate(gpu) for gpu in row["gpus"]],
        created_at=rfc3339(row["created_at"]),
    )

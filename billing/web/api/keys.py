"""API keys: who has which, when each was used last, new ones, and their end."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import Invalid
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.tenants.registrar import Registrar
from billing.web.auth import KeyHolder, KeyReader, Operator
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Slug

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], responses=PROBLEM_RESPONSES, route_class=Route)

GIVEN: frozenset[KeyRole] = frozenset({KeyRole.TENANT, KeyRole.OWNER, KeyRole.GATEWAY})
"""Over HTTP nobody makes keys for roles that may do more than the one who asks: those are made at the command line."""


class KeyOut(BaseModel):
    """`prefix` names the key: what it begins with, after `smk_`. `key` is the key itself: only in the first answer to the request
    that made it, and kept nowhere."""

    prefix: str
    name: str
    role: KeyRole
    tenant: str | None
    owner: str | None
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    key: str | None = None


class NewKeyIn(BaseModel):
    """`role` is tenant, owner or gateway."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: KeyRole
    tenant: Slug | None = None
    owner: Slug | None = None


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List API keys")
def list_keys(web: Web, caller: KeyReader, query: Annotated[PageQuery, Query()]) -> Listing[KeyOut]:
    """Of a tenant's key only the tenant's."""
    with web.database.transaction() as session:
        scope = caller.tenant_scope(session, None)
        rows = tenants.keys(session, tenant_id=scope, after_id=query.after("keys"), limit=query.limit + 1)
    page = sliced("keys", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[_out(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("", summary="Make an API key", status_code=201, response_model=KeyOut)
def make_key(web: Web, caller: Operator, body: NewKeyIn, key: IdempotencyKey = None) -> Response:
    if body.role not in GIVEN:
        raise Invalid(f"keys of the role {body.role} are made at the command line", remedy="stablemeter apikey create")
    made: list[tuple[str, KeyOut]] = []

    def write(joined: Joined, session: Session) -> Answer:
        plain = Registrar(joined, web.clock).create_key(
            name=body.name, role=body.role, tenant=body.tenant or "", owner=body.owner or "", actor=caller.actor
        )
        made.append((plain, _one(session, plain.split("_")[1])))
        return Answer(201, made[0][1])

    answer = once(web, caller, key, Request("POST", "/api/v1/keys", body), write)
    if not made:
        return answer
    plain, out = made[0]
    return JSONResponse(out.model_copy(update={"key": plain}).model_dump(mode="json"), 201)


@router.post("/{prefix}/revoke", summary="Stop an API key from working", response_model=KeyOut)
def revoke_key(
    web: Web, caller: KeyHolder, prefix: Annotated[str, Path(max_length=40)], body: Nothing, key: IdempotencyKey = None
) -> Response:
    """At once. Revoking twice changes nothing."""

    def write(joined: Joined, session: Session) -> Answer:
        scope = caller.tenant_scope(session, None)
        Registrar(joined, web.clock).revoke_key(prefix, tenant_id=scope, actor=caller.actor)
        return Answer(200, _one(session, prefix))

    return once(web, caller, key, Request("POST", f"/api/v1/keys/{prefix}/revoke", body), write)


def _one(session: Session, prefix: str) -> KeyOut:
    session.flush()
    return _out(tenants.keys(session, prefix=prefix)[0])


def _out(row: dict[str, Any]) -> KeyOut:
    def at(moment: datetime | None) -> str | None:
        return None if moment is None else rfc3339(moment.replace(microsecond=0))

    return KeyOut(
        prefix=row["prefix"],
        name=row["name"],
        role=KeyRole(row["role"]),
        tenant=row["tenant"],
        owner=row["owner"],
        created_at=at(row["created_at"]) or "",
        last_used_at=at(row["last_used_at"]),
        revoked_at=at(row["revoked_at"]),
    )

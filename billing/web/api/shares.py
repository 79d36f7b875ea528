"""Who owns what of which GPUs when, and what the operator keeps of what they earn."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.core.period import FOREVER, Span, at_second, parse_time, rfc3339
from billing.db.engine import Session
from billing.owners import store
from billing.owners.registrar import OwnerRegistrar, Wanted
from billing.owners.share import BASIS_POINTS, Held, parse_parts, share_text
from billing.web.auth import Finance, Operator, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Label, Moment, Name, Slug, end_text

router = APIRouter(prefix="/api/v1/owners", tags=["owners"], responses=PROBLEM_RESPONSES, route_class=Route)


class ShareOut(BaseModel):
    """How much of a GPU, from when until when (null: still)."""

    id: int
    gpu: str
    host: str
    share: str
    since: str = Field(alias="from")
    until: str | None


class NewShare(BaseModel):
    """The same share (`1`, `1/3`, `12.5%`) of all GPUs of hosts, and of some by UUID: of all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    share: str = Field(min_length=1, max_length=20)
    since: Moment = Field(alias="from")
    until: Moment | None = None
    hosts: list[Label] = Field(default_factory=list, max_length=1000)
    gpus: list[Label] = Field(default_factory=list, max_length=10_000)


class SharedOut(BaseModel):
    """Of how many GPUs a share was given."""

    gpus: int


class EndShare(BaseModel):
    """At or before its start: it never was. Left out: it ends now."""

    model_config = ConfigDict(extra="forbid")

    at: Moment | None = None
    reason: Name


class FeeOut(BaseModel):
    """From when on the operator keeps so many basis points: 250 is 2.5 %."""

    basis_points: int
    since: str = Field(alias="from")


class NewFee(BaseModel):
    """For what GPUs earn by use from `from` on. A settlement that took the old one is mended by the next."""

    model_config = ConfigDict(extra="forbid")

    basis_points: int = Field(ge=0, le=BASIS_POINTS)
    since: Moment = Field(alias="from")
    reason: Name


@router.get("/{slug}/shares", summary="What an owner owns, and owned")
def list_shares(
    web: Web, caller: Staff, slug: Annotated[Slug, Path()], query: Annotated[PageQuery, Query()]
) -> Listing[ShareOut]:
    after = query.after("shares")
    with web.database.transaction() as session:
        found = sorted(store.shares(session, owner_id=store.by_slug(session, slug).id), key=lambda one: one.id)
    page = sliced("shares", [(one.id, one) for one in found if one.id > after][: query.limit + 1], query.limit)
    return Listing(items=[_share(one) for one in page.rows], next_cursor=page.next_cursor)


@router.post("/{slug}/shares", summary="Give an owner a share of GPUs", status_code=201, response_model=SharedOut)
def add_shares(
    web: Web, caller: Operator, slug: Annotated[Slug, Path()], body: NewShare, key: IdempotencyKey = None
) -> Response:
    """What nobody owns is the operator's. 409 when a GPU would be owned more than once."""
    span = Span(parse_time(body.since), FOREVER if body.until is None else parse_time(body.until))
    wanted = Wanted(slug, parse_parts(body.share), span, tuple(body.hosts), tuple(body.gpus))

    def write(joined: Joined, session: Session) -> Answer:
        return Answer(201, SharedOut(gpus=OwnerRegistrar(joined, web.clock).share([wanted], actor=caller.actor)))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/shares", body), write)


@router.post("/{slug}/shares/{share}/end", summary="End a share", response_model=ShareOut)
def end_share(
    web: Web,
    caller: Operator,
    slug: Annotated[Slug, Path()],
    share: Annotated[int, Path(ge=1, le=2**63 - 1)],
    body: EndShare,
    key: IdempotencyKey = None,
) -> Response:
    """What it earned by use before stays the owner's. What was settled otherwise is mended by the next settlement."""
    at = web.clock.now().replace(microsecond=0) if body.at is None else parse_time(body.at)

    def write(joined: Joined, session: Session) -> Answer:
        if all(one.id != share for one in store.shares(session, owner_id=store.by_slug(session, slug).id)):
            raise NotFound(f"{slug} has no share {share}")
        held = OwnerRegistrar(joined, web.clock).end_share(share, at, reason=body.reason, actor=caller.actor)
        until = max(at, held.span.start)
        return Answer(200, ShareOut.model_validate({**_share(held).model_dump(by_alias=True), "until": rfc3339(until)}))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/shares/{share}/end", body), write)


@router.get("/{slug}/fees", summary="What the operator keeps, and since when")
def list_fees(
    web: Web, caller: Staff, slug: Annotated[Slug, Path()], query: Annotated[PageQuery, Query()]
) -> Listing[FeeOut]:
    """In the order in which they were set: of two with one start the later one counts."""
    after = query.after("fees")
    with web.database.transaction() as session:
        found = store.fees(session, store.by_slug(session, slug).id)
    page = sliced("fees", list(enumerate(found, 1))[after : after + query.limit + 1], query.limit)
    items = [
        FeeOut.model_validate({"basis_points": one.basis_points, "from": rfc3339(at_second(one.since))})
        for one in page.rows
    ]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.post("/{slug}/fees", summary="Give an owner another fee", status_code=201, response_model=FeeOut)
def set_fee(
    web: Web, caller: Finance, slug: Annotated[Slug, Path()], body: NewFee, key: IdempotencyKey = None
) -> Response:
    since = parse_time(body.since)

    def write(joined: Joined, session: Session) -> Answer:
        registrar = OwnerRegistrar(joined, web.clock)
        registrar.set_fee(slug, body.basis_points, since, reason=body.reason, actor=caller.actor)
        return Answer(201, FeeOut.model_validate({"basis_points": body.basis_points, "from": rfc3339(since)}))

    return once(web, caller, key, Request("POST", f"/api/v1/owners/{slug}/fees", body), write)


def _share(one: Held) -> ShareOut:
    told = {"id": one.id, "gpu": one.uuid, "host": one.host, "share": share_text(one.parts)}
    return ShareOut.model_validate({**told, "from": rfc3339(one.span.start), "until": end_text(one.span.end)})

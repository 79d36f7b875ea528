"""Leased time that is not billed: exclusions that people decide about, and maintenance windows."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.period import Span, parse_time, rfc3339
from billing.db.engine import Session
from billing.invoicing.store.periods import invoiced
from billing.metering.excluder import Announcement, Excluder
from billing.metering.store import decisions
from billing.web.auth import Finance, Operator, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Moment, Name, Reference

router = APIRouter(prefix="/api/v1", tags=["exclusions"], responses=PROBLEM_RESPONSES, route_class=Route)

Reason = Annotated[Name, Field(max_length=150)]


class State(StrEnum):
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ALL = "all"


class ExclusionOut(BaseModel):
    """`evidence` says whose word it is, and why it was only proposed. Only accepted ones are not billed."""

    id: int
    state: str
    tenant: str
    lease: str
    gpu: str
    host: str
    start: str
    end: str
    seconds: int
    reason: str
    evidence: str


class ExclusionQuery(PageQuery):
    state: State = State.PROPOSED


class NewDecision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason


class DecisionOut(BaseModel):
    """`id` is the exclusion as it was decided. `adjusts` names invoices whose difference comes with the next one."""

    id: int
    gpu: str
    start: str
    end: str
    state: str
    adjusts: list[str]


class MaintenanceOut(BaseModel):
    reference: str
    status: str
    start: str
    end: str
    hosts: list[str]
    gpus: int
    reason: str


class NewMaintenance(BaseModel):
    """All GPUs of the hosts, and the GPUs by UUID. In time that was invoiced only with `adjust`."""

    model_config = ConfigDict(extra="forbid")

    start: Moment
    end: Moment
    reason: Reason
    hosts: list[Name] = Field(default_factory=list, max_length=1000)
    uuids: list[Name] = Field(default_factory=list, max_length=10_000)
    reference: Reference | None = None
    adjust: bool = False


class MaintenanceEnd(BaseModel):
    """Ends at `at`; without it the window is cancelled, as if it had never been announced."""

    model_config = ConfigDict(extra="forbid")

    at: Moment | None = None
    reason: Reason
    adjust: bool = False


@router.get("/exclusions", summary="List exclusions of leased time")
def list_exclusions(web: Web, caller: Staff, query: Annotated[ExclusionQuery, Query()]) -> Listing[ExclusionOut]:
    state = None if query.state is State.ALL else query.state.value
    with web.database.transaction() as session:
        rows = decisions.exclusions(session, state=state, after_id=query.after("exclusions"), limit=query.limit + 1)
    page = sliced("exclusions", [(row["id"], row) for row in rows], query.limit)
    items = [ExclusionOut.model_validate({**row, **_times(row)}) for row in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.post("/exclusions/{exclusion}/accept", summary="Do not bill it", response_model=DecisionOut)
def accept(
    web: Web,
    caller: Finance,
    exclusion: Annotated[int, Path(ge=1, lt=2**63)],
    body: NewDecision,
    key: IdempotencyKey = None,
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        return _decided(Excluder(joined, web.clock, invoiced), exclusion, body.reason, caller.actor, accept=True)

    return once(web, caller, key, Request("POST", f"/api/v1/exclusions/{exclusion}/accept", body), write)


@router.post("/exclusions/{exclusion}/reject", summary="Bill it", response_model=DecisionOut)
def reject(
    web: Web,
    caller: Finance,
    exclusion: Annotated[int, Path(ge=1, lt=2**63)],
    body: NewDecision,
    key: IdempotencyKey = None,
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        return _decided(Excluder(joined, web.clock, invoiced), exclusion, body.reason, caller.actor, accept=False)

    return once(web, caller, key, Request("POST", f"/api/v1/exclusions/{exclusion}/reject", body), write)


@router.get("/maintenance", summary="List maintenance windows")
def list_maintenance(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[MaintenanceOut]:
    with web.database.transaction() as session:
        rows = decisions.windows(session, after_id=query.after("maintenance"), limit=query.limit + 1)
    page = sliced("maintenance", [(row["id"], row) for row in rows], query.limit)
    return Listing(items=[_window(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/maintenance", summary="Announce maintenance", status_code=201, response_model=MaintenanceOut)
def add_maintenance(web: Web, caller: Operator, body: NewMaintenance, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        span = Span(parse_time(body.start), parse_time(body.end))
        wanted = Announcement(span, body.reason, body.hosts, body.uuids, body.reference or "", body.adjust)
        name = Excluder(joined, web.clock, invoiced).announce(wanted, actor=caller.actor)
        return Answer(201, _one(session, name))

    return once(web, caller, key, Request("POST", "/api/v1/maintenance", body), write)


@router.post("/maintenance/{reference}/end", summary="End or cancel maintenance", response_model=MaintenanceOut)
def end_maintenance(
    web: Web,
    caller: Operator,
    reference: Annotated[str, Path(max_length=200)],
    body: MaintenanceEnd,
    key: IdempotencyKey = None,
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        excluder = Excluder(joined, web.clock, invoiced)
        if body.at is None:
            excluder.cancel(reference, reason=body.reason, adjust=body.adjust, actor=caller.actor)
        else:
            at: datetime = parse_time(body.at)
            excluder.end(reference, at, adjust=body.adjust, reason=body.reason, actor=caller.actor)
        return Answer(200, _one(session, reference))

    return once(web, caller, key, Request("POST", f"/api/v1/maintenance/{reference}/end", body), write)


def _decided(excluder: Excluder, number: int, reason: str, actor: str, *, accept: bool) -> Answer:
    done = excluder.decide(number, accept=accept, reason=reason, actor=actor)
    return Answer(
        200,
        DecisionOut(
            id=done.id,
            gpu=done.uuid,
            start=rfc3339(done.span.start),
            end=rfc3339(done.span.end),
            state="accepted" if accept else "rejected",
            adjusts=done.adjusts,
        ),
    )


def _one(session: Session, reference: str) -> MaintenanceOut:
    return _window(decisions.windows(session, reference=reference)[0])


def _window(row: dict[str, Any]) -> MaintenanceOut:
    return MaintenanceOut.model_validate({**row, **_times(row)})


def _times(row: dict[str, Any]) -> dict[str, str]:
    return {"start": rfc3339(row["start"]), "end": rfc3339(row["until"])}

"""How the machinery does: chains, sources, meters, and who does which work."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.chain import store as chain_store
from billing.chain.store import reach
from billing.chain.watcher import Chain
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.web import store
from billing.web.auth import Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES

router = APIRouter(prefix="/api/v1", tags=["operations"], responses=PROBLEM_RESPONSES, route_class=Route)


class ChainOut(BaseModel):
    """How far a chain was read: up to `block`; what is at or below `final` cannot be taken back, what is at or below `proven` was
    read twice. They are null before it is followed. `stopped` says why it waits for a person, `stalled` which height stands still
    for too long; both are empty while all is well. `accepted`: invoices offer it."""

    chain_id: int
    name: str
    block: int | None
    mined_at: str | None
    final: int | None
    final_since: str | None
    proven: int | None
    stalled: str
    stopped: str
    reads_again_from: int | None
    accepted: bool


class SourceOut(BaseModel):
    """A source of samples. Counts are of 31 days; seconds are GPU-seconds. `failure` is empty while it answers. `unattributed_gpus`
    are held by labels that mean no tenant."""

    name: str
    type: str
    since: str
    read_until: str | None
    lag_seconds: int
    windows: int
    incomplete_windows: int
    samples: int
    present_seconds: int
    missing_seconds: int
    blind_seconds: int
    gpus: int
    unattributed_gpus: int
    failed_at: str | None
    failure: str


class GapOut(BaseModel):
    """Time of a source that was not seen completely, or holds something that was not understood."""

    source: str
    start: str
    end: str
    status: str
    reason: str
    missing_seconds: int
    blind_seconds: int


class LabelOut(BaseModel):
    """A label that means no tenant; `suggestion` is a command that would mend it."""

    source: str
    label: str
    devices: int
    device_hours: str
    suggestion: str


class CoverageOut(BaseModel):
    """The newest gaps and the largest unknown labels of a week."""

    gaps: list[GapOut]
    unknown_labels: list[LabelOut]


class MeterOut(BaseModel):
    """A meter of pushed events. Counts are of 31 days; `unusable` have no value that it could count."""

    name: str
    type: str
    aggregation: str
    events: int
    newest: str | None
    unusable: int


class JobOut(BaseModel):
    """Who does a kind of work: one process at a time. `epoch` grows each time that somebody takes it over."""

    role: str
    holder: str
    since: str
    epoch: int


@router.get("/chains", summary="How far each chain was read")
def list_chains(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[ChainOut]:
    after, accepted = query.after("chains"), web.accepter.accepted()
    with web.database.transaction() as session:
        known = {row["chain_id"]: row for row in chain_store.cursors(session)}
        items = [_chain(web, session, one, known.get(one.chain_id, {}), accepted) for one in web.chains.values()]
    page = sliced("chains", list(enumerate(items, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=list(page.rows), next_cursor=page.next_cursor)


@router.get("/sources", summary="How far each source was read, and how well")
def list_sources(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[SourceOut]:
    after = query.after("sources")
    rows = [_times(row) for row in web.meter_reporter.status(web.clock.now())["sources"]]
    page = sliced("sources", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[SourceOut.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/coverage", summary="The newest gaps, and labels that mean no tenant")
def get_coverage(web: Web, caller: Staff) -> CoverageOut:
    found = web.meter_reporter.status(web.clock.now())
    return CoverageOut(
        gaps=[GapOut.model_validate(_times(row)) for row in found["gaps"]],
        unknown_labels=[LabelOut.model_validate(row) for row in found["unknown_labels"]],
    )


@router.get("/meters", summary="Meters of pushed events")
def list_meters(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[MeterOut]:
    after = query.after("meters")
    rows = [_times(row) for row in web.event_reporter.status(web.clock.now())["meters"]]
    page = sliced("meters", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[MeterOut.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/jobs", summary="Who does which work")
def list_jobs(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[JobOut]:
    """What jobs do, and how long they take, is among the metrics."""
    after = query.after("jobs")
    with web.database.transaction() as session:
        rows = [_times(row) for row in store.roles(session)]
    page = sliced("jobs", list(enumerate(rows, 1))[after : after + query.limit + 1], query.limit)
    return Listing(items=[JobOut.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


def _chain(web: Wired, session: Session, one: Chain, row: dict[str, Any], accepted: set[int]) -> ChainOut:
    stalled = ""
    if row:
        still = reach.still(session, one.chain_id, web.clock.now())
        if still.seconds >= one.stall_seconds:
            stalled = f"{still.height} ({one.finality.rule_of(still.height)}) for {still.seconds} s"
    told = {
        "mined_at": row.get("cursor_mined_at"),
        "final_since": row.get("final_moved_at"),
    }
    final = row.get("final_number")
    return ChainOut(
        chain_id=one.chain_id,
        name=one.name,
        block=row.get("cursor_number"),
        final=None if final is None or final < 0 else final,
        proven=row.get("proven"),
        stalled=stalled,
        stopped=row.get("stopped", ""),
        reads_again_from=row.get("rewind_to"),
        accepted=one.chain_id in accepted,
        **_times(told),
    )


def _times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in row.items()}

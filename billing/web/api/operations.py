"""How the machinery does: chains, sources, meters, and who does which work."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.chain import store as chain_store
from billing.chain.store import reach
from billing.chain.watcher import Chain
from billing.core.errors import NotFound
from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.invoicing.document import rate_text
from billing.quotes import store as quotes
from billing.trail import store as trail
from billing.trail.store import Deed, record
from billing.web import store
from billing.web.auth import Operator, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Name

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


class QuoteOut(BaseModel):
    """What one token counts as for payments in blocks from `from` until before `until`, at the least, and who says so."""

    chain_id: int
    feed: str
    rate: str
    source: str
    told_at: str
    since: str = Field(alias="from")
    until: str


@router.get("/quotes", summary="The rates that are promised now")
def list_quotes(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[QuoteOut]:
    after = query.after("quotes")
    with web.database.transaction() as session:
        found = sorted(quotes.newest(session, web.clock.now()).items())
    page = sliced("quotes", list(enumerate(found, 1))[after : after + query.limit + 1], query.limit)
    items = [
        QuoteOut.model_validate(
            {
                "chain_id": chain_id,
                "feed": checksum(Address(feed)),
                "rate": rate_text(one.rate.value),
                "source": one.rate.source,
                "told_at": rfc3339(one.rate.at),
                "from": rfc3339(one.since),
                "until": rfc3339(one.until),
            }
        )
        for (chain_id, feed, _), one in page.rows
    ]
    return Listing(items=items, next_cursor=page.next_cursor)


class WalletOut(BaseModel):
    """The configured wallet. Payers recognise its documents by the `pin`, which they have from their contract."""

    pin: str
    treasury: str | None
    accepted_chains: list[int]


@router.get("/wallet", summary="Where money goes, and the pin")
def get_wallet(web: Web, caller: Staff) -> WalletOut:
    if web.wallet is None:
        raise NotFound("no wallet is configured", remedy="set wallet.treasury")
    treasury = checksum(web.treasury) if web.treasury else None
    return WalletOut(pin=web.wallet.pin(), treasury=treasury, accepted_chains=sorted(web.accepter.accepted()))


class DeedOut(BaseModel):
    """Something that was done: by whom, to what, and why."""

    at: str
    actor: str
    action: str
    subject: str
    reason: str


class TrailQuery(PageQuery):
    subject: Name | None = Field(default=None, description="Only what was done to this: `invoice INV-000001`")


@router.get("/trail", summary="Who did what, and why")
def list_deeds(web: Web, caller: Staff, query: Annotated[TrailQuery, Query()]) -> Listing[DeedOut]:
    """Oldest first."""
    with web.database.transaction() as session:
        rows = trail.listed(session, subject=query.subject, after_id=query.after("trail"), limit=query.limit + 1)
    page = sliced("trail", rows, query.limit)
    items = [
        DeedOut(at=rfc3339(one.at), actor=one.actor, action=one.action, subject=one.subject, reason=one.reason)
        for one in page.rows
    ]
    return Listing(items=items, next_cursor=page.next_cursor)


class Resume(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Name


class ResumedOut(BaseModel):
    """Why it was stopped."""

    stopped: str


@router.post("/chains/{chain_id}/resume", summary="Follow a stopped chain again", response_model=ResumedOut)
def resume(
    web: Web,
    caller: Operator,
    chain_id: Annotated[int, Path(ge=1, lt=2**53)],
    body: Resume,
    key: IdempotencyKey = None,
) -> Response:
    """After a person looked. It stops again when the chain is still another one."""
    chain = web.chains.get(chain_id)
    if chain is None:
        raise NotFound(f"no chain {chain_id} is configured", remedy="see [[chains]]")

    def write(joined: Joined, session: Session) -> Answer:
        now = web.clock.now()
        why = chain_store.resume(session, chain_id, now)
        record(session, Deed(now, caller.actor, "chain.resume", chain.name, body.reason, {"stopped": why}))
        return Answer(200, ResumedOut(stopped=why))

    return once(web, caller, key, Request("POST", f"/api/v1/chains/{chain_id}/resume", body), write)

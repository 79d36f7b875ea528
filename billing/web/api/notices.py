"""Notices: what others were told, whether they heard it, and telling it again."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict

from billing.core.period import rfc3339
from billing.db.engine import Session
from billing.notices import deliverer, store
from billing.notices.notice import DeliveryState
from billing.web.auth import Desk, Staff
from billing.web.bodies import Route
from billing.web.deps import Listing, PageQuery, Web, Wired, sliced
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once

router = APIRouter(prefix="/api/v1", tags=["notices"], responses=PROBLEM_RESPONSES, route_class=Route)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


class ReceiverOut(BaseModel):
    """A webhook, a mailbox or a program that is told. `types` are what it is told; empty: everything. Where it is, and its secret,
    stay in the settings."""

    name: str
    types: list[str]
    by_mail: bool


class DeliveryOut(BaseModel):
    """A notice to a receiver; `receiver`, `state`, `attempts` and `answer` are null when nobody gets it. `message_id` is what
    receivers know it by."""

    notice: int
    message_id: str
    type: str
    subject: str
    tenant: str | None
    created_at: str
    receiver: str | None
    state: DeliveryState | None
    attempts: int | None
    answer: str | None
    next_attempt_at: str | None


class DeliveryQuery(PageQuery):
    state: DeliveryState | None = None


class NoMore(BaseModel):
    """Nothing is needed."""

    model_config = ConfigDict(extra="forbid")


class ReplayedOut(BaseModel):
    """How many deliveries are due again."""

    deliveries: int


@router.get("/webhooks", summary="Who is told what")
def list_receivers(web: Web, caller: Staff, query: Annotated[PageQuery, Query()]) -> Listing[ReceiverOut]:
    after = query.after("webhooks")
    rows = list(enumerate(sorted(web.receivers.items()), 1))
    page = sliced("webhooks", rows[after : after + query.limit + 1], query.limit)
    items = [ReceiverOut(name=name, types=sorted(one.types), by_mail=one.by_mail) for name, one in page.rows]
    return Listing(items=items, next_cursor=page.next_cursor)


@router.get("/deliveries", summary="What was told, and what they answered")
def list_deliveries(web: Web, caller: Staff, query: Annotated[DeliveryQuery, Query()]) -> Listing[DeliveryOut]:
    """Oldest first."""
    state = None if query.state is None else query.state.value
    with web.database.transaction() as session:
        rows = store.deliveries(session, state=state, after_id=query.after("deliveries"), limit=query.limit + 1)
    page = sliced("deliveries", [(row["row"], row) for row in rows], query.limit)
    return Listing(items=[_out(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/notices/{notice}/replay", summary="Tell everyone a notice again", response_model=ReplayedOut)
def replay_notice(web: Web, caller: Desk, notice: Id, body: NoMore, key: IdempotencyKey = None) -> Response:
    """To everyone who gets it, from the first attempt. Receivers know it by its message id."""

    def write(joined: Joined, session: Session) -> Answer:
        return Answer(200, ReplayedOut(deliveries=_again(web, joined, notice, caller.actor)))

    return once(web, caller, key, Request("POST", f"/api/v1/notices/{notice}/replay", body), write)


@router.post("/deliveries/replay-dead", summary="Send again what is dead", response_model=ReplayedOut)
def replay_dead(web: Web, caller: Desk, body: NoMore, key: IdempotencyKey = None) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        return Answer(200, ReplayedOut(deliveries=_again(web, joined, None, caller.actor)))

    return once(web, caller, key, Request("POST", "/api/v1/deliveries/replay-dead", body), write)


def _again(web: Wired, joined: Joined, notice: int | None, actor: str) -> int:
    return deliverer.replay(joined, web.clock.now(), notice, actor=actor)


def _out(row: dict[str, Any]) -> DeliveryOut:
    times = {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in row.items()}
    return DeliveryOut.model_validate(times)

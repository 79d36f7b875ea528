"""How often tenants are invoiced."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.db.engine import Session
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY, Cycle, Every
from billing.tenants.registrar import Registrar
from billing.web.auth import Operator, Staff
from billing.web.bodies import Route
from billing.web.deps import Web
from billing.web.errors import PROBLEM_RESPONSES
from billing.web.idempotency import Answer, IdempotencyKey, Joined, Request, once
from billing.web.schemas import Text, Units

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"], responses=PROBLEM_RESPONSES, route_class=Route)


class NewCycle(BaseModel):
    """Periods of months, weeks or days begin on day `anchor` (of a month 1 to 28, of a week 1 is Monday) at midnight in
    `timezone`. `threshold`, in the smallest unit: what costs so much is invoiced before its period is over."""

    model_config = ConfigDict(extra="forbid")

    every: Every = Every.MONTH
    anchor: int = Field(default=1, ge=1, le=28)
    timezone: str = Field(default="UTC", max_length=60)
    threshold: Units | None = None
    reason: Text = ""


class CycleOut(BaseModel):
    every: Every
    anchor: int
    timezone: str
    threshold: str | None


@router.get("/{slug}/cycle", summary="How often a tenant is invoiced")
def get_cycle(web: Web, caller: Staff, slug: Annotated[str, Path(max_length=40)]) -> CycleOut:
    with web.database.transaction() as session:
        return _out(tenants.cycles(session).get(tenants.by_slug(session, slug).id, MONTHLY))


@router.post("/{slug}/cycle", summary="Set how often a tenant is invoiced", response_model=CycleOut)
def set_cycle(
    web: Web, caller: Operator, slug: Annotated[str, Path(max_length=40)], body: NewCycle, key: IdempotencyKey = None
) -> Response:
    def write(joined: Joined, session: Session) -> Answer:
        threshold = None if body.threshold is None else int(body.threshold)
        wanted = Cycle(body.every, body.anchor, body.timezone, threshold)
        Registrar(joined, web.clock).set_cycle(slug, wanted, reason=body.reason, actor=caller.actor)
        return Answer(200, _out(wanted))

    return once(web, caller, key, Request("POST", f"/api/v1/tenants/{slug}/cycle", body), write)


def _out(one: Cycle) -> CycleOut:
    threshold = None if one.threshold is None else str(one.threshold)
    return CycleOut(every=one.every, anchor=one.anchor, timezone=one.timezone, threshold=threshold)

"""What the audit found, last time and before."""

import re
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.errors import NotFound
from billing.trail import store as trail
from billing.trail.store import Deed
from billing.web.deps import Web
from billing.web.desk.operations_query import HOME, Reader, took
from billing.web.desk.shell import Head, page

router = APIRouter(include_in_schema=False)

RUNS: Final = 60
_GPU: Final = re.compile(r"GPU (\S+) on ")


class AuditAsked(BaseModel):
    """`run` is one of the runs that are listed; 0 is the newest."""

    model_config = ConfigDict(extra="forbid")

    run: int = Field(default=0, ge=0, lt=2**63)


@router.get("/operations/audit")
def show_audit(web: Web, visitor: Reader, asked: Annotated[AuditAsked, Query()]) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        runs = trail.latest(session, "audit", RUNS)
    chosen = next((one for one in runs if asked.run in (0, one[0])), None)
    if asked.run and chosen is None:
        raise NotFound(f"there is no audit {asked.run} among the newest {RUNS}")
    context = {
        "runs": [(number, deed, count_of(deed)) for number, deed in runs], "chosen": chosen, "took": took,
        "findings": [_finding(text) for text in chosen[1].details.get("findings", [])] if chosen else [],
        "count": count_of(chosen[1]) if chosen else 0, "age": age_of(chosen[1], now) if chosen else 0,
    }  # fmt: skip
    return page(web, visitor, "desk/operations_audit.html", Head("Audit", (HOME,)), context)


def count_of(deed: Deed) -> int:
    """How many findings a run had; it keeps the first hundred."""
    return int(deed.details.get("count", 0))


def age_of(deed: Deed, now: datetime) -> int:
    return max(0, int((now - deed.at).total_seconds()))


def _finding(text: str) -> dict[str, Any]:
    """A finding with the page that shows what it is about, where there is one."""
    check, _, rest = text.partition(": ")
    subject, _, detail = rest.partition(": ")
    gpu = _GPU.match(subject)
    href = f"/operations/fleet?where={quote(gpu.group(1))}" if gpu else ""
    if subject.startswith(("balance", "0x")) or check.startswith("balances"):
        href = "/operations/chains"
    return {"check": check, "subject": subject, "detail": detail, "href": href}

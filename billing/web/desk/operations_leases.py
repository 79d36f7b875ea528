"""Leases: who holds which GPUs, from when to when. Operators let and end them."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span, parse_time, rfc3339
from billing.leasing import store as leasing
from billing.leasing.leaser import REFERENCE_MAX, Leaser
from billing.leasing.store import Wanted
from billing.trail import store as trail
from billing.web.deps import Web
from billing.web.desk.nav import Link
from billing.web.desk.operations_query import HOME, PAGE_ROWS, Asked, Operator, Reader, page_of
from billing.web.desk.shell import Head, back_to, done_once, page
from billing.web.forms import Form

router = APIRouter(include_in_schema=False)

LEASES: Final = Link("Leases", "/operations/leases")
STATES: Final = ("running", "coming", "ended")
REASON_MAX: Final = 150
NAMES_MAX: Final = 1_000


class LeasesAsked(Asked):
    tenant: str = Field(default="", max_length=40)
    where: str = Field(default="", max_length=200)
    reference: str = Field(default="", max_length=REFERENCE_MAX)
    state: str = Field(default="", max_length=20)


@router.get("/operations/leases")
def list_leases(web: Web, visitor: Reader, asked: Annotated[LeasesAsked, Query()]) -> Response:
    if asked.state not in ("", *STATES):
        raise Invalid(f"{asked.state!r} is no state of a lease")
    now = web.clock.now()
    wanted = Wanted(
        now, asked.tenant, asked.where, asked.reference, asked.state, asked.before("leases"), PAGE_ROWS + 1
    )  # fmt: skip
    with web.database.transaction() as session:
        found = leasing.contracts(session, wanted)
    rows, following = page_of("leases", found)
    context = {
        "rows": rows, "next": following, "asked": asked, "now": now, "may_let": visitor.role == "operator",
        "states": [("", "any"), *((one, one) for one in STATES)], "forever": FOREVER,
    }  # fmt: skip
    return page(web, visitor, "desk/operations_leases.html", Head("Leases", (HOME,)), context)


@router.get("/operations/leases/new")
def new_lease(web: Web, visitor: Operator) -> Response:
    now = rfc3339(web.clock.now().replace(minute=0, second=0, microsecond=0))
    return page(web, visitor, "desk/operations_lease_new.html", Head("Let GPUs", (HOME, LEASES)), {"now": now})


@router.post("/operations/leases/new")
def add_lease(web: Web, visitor: Operator) -> Response:
    """All of the named GPUs, or none."""
    form = visitor.form
    tenant, end = form.text("tenant", most=40, needed=True), form.text("to", most=40)
    span = Span(parse_time(form.text("from", most=40, needed=True)), parse_time(end) if end else FOREVER)
    hosts, uuids = names(form, "hosts"), names(form, "gpus")
    reference = form.text("reference", most=REFERENCE_MAX)

    def write(joined: Any) -> str:
        leases = Leaser(joined, web.clock, web.rules).add(
            tenant, span, hosts=hosts, uuids=uuids, reference=reference, actor=visitor.actor
        )
        return f"Lease {leases[0].reference}: {len(leases)} GPUs are let to {tenant}. Usage follows within a minute."

    return back_to(web, visitor, "/operations/leases", done_once(web, visitor, write))


def names(form: Form, field: str) -> list[str]:
    """What was typed, one a line or with commas between, each once."""
    typed = form.text(field, most=20_000, lines=True).replace(",", "\n").split("\n")
    found = list(dict.fromkeys(one for part in typed if (one := part.strip())))
    if len(found) > NAMES_MAX or any(len(one) > 200 for one in found):
        raise Invalid(f"{field}: at most {NAMES_MAX} names of 200 characters")
    return found


Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/operations/leases/{lease}")
def one_lease(web: Web, visitor: Reader, lease: Number) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        gpus = leasing.contract(session, lease)
        deeds = trail.about(session, f"lease {gpus[0].reference}")
    first = gpus[0]
    ends = visitor.role == "operator" and any(one.span.end > now or one.span.is_open for one in gpus)
    context = {
        "gpus": gpus, "one": first, "deeds": deeds, "ends": ends, "now": rfc3339(now.replace(microsecond=0)),
        "id": lease, "day": f"{min(now, first.span.end):%Y-%m-%d}",
    }  # fmt: skip
    return page(web, visitor, "desk/operations_lease.html", Head(f"Lease {first.reference}", (HOME, LEASES)), context)


@router.post("/operations/leases/{lease}/end")
def end_lease(web: Web, visitor: Operator, lease: Number) -> Response:
    """End all its GPUs; usage after that is derived again."""
    at = parse_time(visitor.form.text("at", most=40, needed=True))
    reason = visitor.form.text("reason", most=REASON_MAX, needed=True)
    with web.database.transaction() as session:
        reference = leasing.contract(session, lease)[0].reference

    def write(joined: Any) -> str:
        leases = Leaser(joined, web.clock).end(reference, at, actor=visitor.actor, reason=reason)
        return f"Lease {reference} ends at {rfc3339(at)}, on {len(leases)} GPUs."

    return back_to(web, visitor, f"/operations/leases/{lease}", done_once(web, visitor, write))

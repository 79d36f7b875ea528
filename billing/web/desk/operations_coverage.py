"""How well sources are read: by source and day, what was not seen and why, and what was decided about it."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from billing.core.errors import Invalid, NotFound
from billing.core.period import Span
from billing.invoicing.store.periods import invoiced
from billing.metering.excluder import Excluder
from billing.metering.reporter import suggested
from billing.metering.store import coverage, decisions, facts, readings
from billing.trail import store as trail
from billing.web.deps import Web, Wired, cursor_text
from billing.web.desk.nav import Link
from billing.web.desk.operations_fleet import percent_text
from billing.web.desk.operations_query import (
    DAY,
    HOME,
    PAGE_ROWS,
    Asked,
    AskedDays,
    FinanceOnly,
    Reader,
    day_text,
    last_day,
    midnight,
    page_of,
    took,
)
from billing.web.desk.shell import Head, back_to, done_once, page
from billing.web.door import Visitor

router = APIRouter(include_in_schema=False)

DAYS_MAX: Final = 92
BEHIND_SECONDS: Final = 3 * 3_600
"""Windows are of an hour, and read once the next sample after them is there: a source may be more than an hour behind, but not
three."""
EXCLUSIONS: Final = Link("Exclusions", "/operations/exclusions")


class CoverageAsked(AskedDays):
    source: str = Field(default="", max_length=100)


class ExclusionsAsked(Asked):
    state: str = Field(default="proposed", max_length=20)


@router.get("/operations/coverage")
def show_coverage(web: Web, visitor: Reader, asked: Annotated[CoverageAsked, Query()]) -> Response:
    now = web.clock.now()
    tomorrow = midnight(now) + DAY
    span = asked.span(Span(tomorrow - timedelta(days=14), tomorrow), DAYS_MAX)
    with web.database.transaction() as session:
        reads = coverage.reads(session, now)
        sources = [{**row, **reads[row["name"]]} for row in readings.status(session, now)]
        days = [_day(row) for row in coverage.days(session, span, asked.source)]
        found = coverage.gaps(session, span, asked.source, asked.before("gaps"), PAGE_ROWS + 1)
        claims = facts.claimed_labels(session)
        labels = facts.unknown_labels(session, now - timedelta(days=7))
    gaps, following = page_of("gaps", found)
    context = {
        "sources": sources, "days": days, "gaps": gaps, "next": following, "span": span, "asked": asked,
        "first": day_text(span.start), "last": day_text(last_day(span)), "took": took, "behind": BEHIND_SECONDS,
        "choices": [("", "all"), *((one["name"], one["name"]) for one in sources)],
        "labels": [{**one, "do": suggested(one["source"], one["label"], claims)} for one in labels],
    }  # fmt: skip
    return page(web, visitor, "desk/operations_coverage.html", Head("Coverage", (HOME,)), context)


def _day(row: dict[str, Any]) -> dict[str, Any]:
    whole = row["present"] + row["missing"] + row["blind"]
    parts = {name: percent_text(row[name], whole) for name in ("present", "missing", "blind")}
    return {**row, "text": day_text(row["day"]), "seconds": whole, "parts": parts}


@router.get("/operations/exclusions")
def list_exclusions(web: Web, visitor: Reader, asked: Annotated[ExclusionsAsked, Query()]) -> Response:
    if asked.state not in ("proposed", "accepted", "rejected", "all"):
        raise Invalid(f"{asked.state!r} is no state of an exclusion")
    state = None if asked.state == "all" else asked.state
    with web.database.transaction() as session:
        rows = decisions.exclusions(session, state=state, after_id=asked.before("exclusions"), limit=PAGE_ROWS + 1)
    shown = rows[:PAGE_ROWS]
    following = cursor_text("exclusions", shown[-1]["id"]) if len(rows) > PAGE_ROWS else ""
    context = {"rows": shown, "next": following, "state": asked.state, "took": took}
    return page(web, visitor, "desk/operations_exclusions.html", Head("Exclusions", (HOME,)), context)


Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/operations/exclusions/{exclusion}")
def one_exclusion(web: Web, visitor: Reader, exclusion: Number) -> Response:
    """What it is about, and what was decided. Finance may decide anew, until something else replaces it."""
    with web.database.transaction() as session:
        rows = decisions.exclusions(session, after_id=exclusion - 1, limit=1)
        if not rows or rows[0]["id"] != exclusion:
            raise NotFound(f"there is no exclusion {exclusion} that stands; it may have been decided or derived anew")
        deeds = trail.about(session, f"exclusion {exclusion}")
    context = {"one": rows[0], "deeds": deeds, "took": took, "may_decide": visitor.role == "finance"}
    return page(
        web, visitor, "desk/operations_exclusion.html", Head(f"Exclusion {exclusion}", (HOME, EXCLUSIONS)), context
    )


@router.post("/operations/exclusions/{exclusion}")
def decide(web: Web, visitor: FinanceOnly, exclusion: Number) -> Response:
    decision = visitor.form.text("decision", most=10, needed=True)
    if decision not in ("accept", "reject"):
        raise Invalid("choose to accept or to reject")
    return _decide(web, visitor, exclusion, accept=decision == "accept")


def _decide(web: Wired, visitor: Visitor, exclusion: int, *, accept: bool) -> Response:
    reason = visitor.form.text("reason", most=150, needed=True)

    def write(joined: Any) -> str:
        excluder = Excluder(joined, web.clock, invoiced)
        done = excluder.decide(exclusion, accept=accept, reason=reason, actor=visitor.actor)
        said = (
            f"Exclusion {done.id}: {'accepted, the time is not billed' if accept else 'rejected, the time is billed'}."
        )
        later = f" The difference to {', '.join(done.adjusts[:5])} comes with the next invoice." if done.adjusts else ""
        return said + later

    said = done_once(web, visitor, write)
    return back_to(web, visitor, "/operations/exclusions", said)

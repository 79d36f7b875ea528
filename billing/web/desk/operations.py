"""Is everything well? Trouble first."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Response

from billing.chain.store import followed
from billing.core.errors import StablemeterError
from billing.core.period import FOREVER, Span
from billing.db.engine import Session
from billing.metering.conservation import Category
from billing.metering.store import days, heat, readings
from billing.notices import store as notices
from billing.signals import store as signals
from billing.telemetry import metrics
from billing.trail import store as trail
from billing.web import store
from billing.web.deps import Web, Wired
from billing.web.desk.operations_audit import count_of
from billing.web.desk.operations_chains import jobs
from billing.web.desk.operations_fleet import percent_text
from billing.web.desk.operations_query import DAY, LETTERS, TROUBLES, Reader, day_text, took
from billing.web.desk.operations_reading import Reading
from billing.web.desk.operations_troubles import troubles
from billing.web.desk.shell import Head, page

router = APIRouter(include_in_schema=False)

UNSTORED_FOR: Final = timedelta(days=62)
CLOCK_SECONDS_MAX: Final = 5


@router.get("/operations")
def overview(web: Web, visitor: Reader) -> Response:
    now = web.clock.now()
    with web.database.transaction() as session:
        seen = _read(web, session, now)
        whole, fleet = _fleet(session, seen)
    context = {
        "seen": seen, "troubles": troubles(seen), "now": now, "took": took, "fleet": fleet, "whole": whole,
        "day": day_text(seen.day) if seen.day else "", "gpus": sum(one["gpus"] for one in seen.sources),
    }  # fmt: skip
    return page(web, visitor, "desk/operations_overview.html", Head("Operations"), context)


def _read(web: Wired, session: Session, now: datetime) -> Reading:
    gauges = signals.gauges(session, now)
    audits = trail.latest(session, "audit", 1)
    deed = audits[0][1] if audits else None
    newest = heat.newest_day(session)
    return Reading(
        now,
        sources=readings.status(session, now),
        day=newest,
        unstored=heat.waiting(session, Span(now - UNSTORED_FOR, FOREVER)),
        chains=followed.chains(session, now),
        configured=web.chains,
        jobs=jobs(),
        receivers=notices.letters(session, now),
        audited_at=deed.at if deed else None,
        findings=count_of(deed) if deed else 0,
        skipped=len(deed.details.get("skipped") or ()) if deed else 0,
        proposed=_one(gauges, metrics.PROPOSED),
        exceptions=sum(n for _, n in gauges[metrics.EXCEPTIONS]),
        unsettled=_one(gauges, metrics.UNSETTLED),
        stale_lists=[labels[0] for labels, n in gauges[metrics.LIST_STALE] if n],
        checks=_checks(web, session),
    )


def _one(gauges: metrics.Values, gauge: metrics.Gauge) -> int:
    return sum(n for _, n in gauges[gauge])


def _fleet(session: Session, seen: Reading) -> tuple[int, list[dict[str, Any]]]:
    """Where the newest day went, in GPU-seconds; noted for the rules too."""
    if seen.day is None:
        return 0, []
    found = days.listed(session, Span(seen.day, seen.day + DAY), days.By.DAY)
    row: dict[str, Any] = found[0] if found else dict.fromkeys(("whole", *Category), 0)
    seen.seconds = {one: row[one.value] for one in Category}
    return row["whole"], [
        {"name": one.value, "seconds": row[one.value], "part": percent_text(row[one.value], row["whole"]),
         "tone": "care" if one in TROUBLES and row[one.value] >= 3_600 else ""}
        for one in LETTERS if row[one.value] or one in (Category.BILLED, Category.IDLE)
    ]  # fmt: skip


def _checks(web: Wired, session: Session) -> dict[str, str]:
    """What `stablemeter doctor` looks at, as far as it asks nobody outside."""
    found = {"database": "", "archive": "", "clock": "", "sources and chains": ""}
    version = store.schema(session)
    if version != web.schema:
        found["database"] = f"it has schema {version or 'none'}, this version needs {web.schema}"
    apart = abs(int((datetime.now(UTC) - store.database_time(session)).total_seconds()))
    if apart > CLOCK_SECONDS_MAX:
        found["clock"] = f"this machine and the database are {apart} s apart; run NTP on both"
    try:
        web.archive.check()
    except StablemeterError as error:
        found["archive"] = error.what
    if not web.chains:
        found["sources and chains"] = "no chain is configured: nothing can be paid"
    return found

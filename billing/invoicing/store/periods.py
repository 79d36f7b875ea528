"""Which periods were invoiced, to whom, and what became of their usage since."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing.core.errors import Conflict
from billing.core.period import Span
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY


def closed_for(session: Session, tenant_id: int) -> datetime | None:
    """The end of the newest period for which a tenant's usage was invoiced, to it or to its reseller."""
    found: datetime | None = session.execute(
        text(
            "SELECT max(upper(i.period)) FROM invoice i JOIN tenant t ON i.tenant_id = coalesce(t.reseller_id, t.id)"
            " WHERE t.id = :tenant AND i.status <> 'void'"
        ),
        {"tenant": tenant_id},
    ).scalar_one()
    return found


def invoiced(session: Session, gpu_ids: Sequence[int], span: Span) -> list[str]:
    """The numbers of standing invoices that charged leases of some GPUs for time within a span."""
    rows = session.execute(
        text(
            "SELECT DISTINCT i.id, i.number FROM lease l JOIN tenant t ON t.id = l.tenant_id"
            " JOIN invoice i ON i.tenant_id = coalesce(t.reseller_id, t.id) AND i.status <> 'void'"
            " AND i.period && tstzrange(:start, :end) AND i.period && l.during"
            " WHERE l.cancelled_at IS NULL AND l.gpu_id = ANY(:gpus) AND l.during && tstzrange(:start, :end)"
            " ORDER BY i.id"
        ),
        {"gpus": list(gpu_ids), "start": span.start, "end": span.end},
    )
    return [row.number for row in rows]


def adjustable(session: Session, period: Span) -> dict[Span, set[int]]:
    """Invoiced periods before this one whose usage changed since, with the payers that have an invoice for it.

    A change may be committed after an invoice that did not see it and bears an earlier time: an hour is allowed for that.
    """
    rows = session.execute(
        text(
            "SELECT DISTINCT lower(i.period) AS start, upper(i.period) AS until, i.tenant_id FROM invoice i"
            " JOIN usage_month m ON i.period && tstzrange(m.start, m.start + interval '1 month')"
            " AND m.changed_at >= i.issued_at - interval '1 hour'"
            " WHERE i.status <> 'void' AND NOT i.progressive AND upper(i.period) <= :start"
        ),
        {"start": period.start},
    )
    found: dict[Span, set[int]] = {}
    for start, until, tenant_id in rows:
        found.setdefault(Span(start, until), set()).add(tenant_id)
    return found


def next_periods(session: Session, period: Span, payers: Sequence[int]) -> dict[int, Span]:
    """The first period after this one for which each payer has no invoice that stands."""
    cycles = tenants.cycles(session)
    rows = session.execute(
        text(
            "SELECT tenant_id, lower(period) FROM invoice"
            " WHERE status <> 'void' AND NOT progressive AND tenant_id = ANY(:payers)"
        ),
        {"payers": list(payers)},
    )
    invoiced = {(tenant_id, start) for tenant_id, start in rows}
    found = {}
    for payer in payers:
        cycle = cycles.get(payer, MONTHLY)
        after = cycle.period_of(period.end)
        while (payer, after.start) in invoiced:
            after = cycle.period_of(after.end)
        found[payer] = after
    return found


def covered(session: Session, payers: Iterable[int], period: Span) -> dict[int, list[Span]]:
    """What standing invoices of some payers have of a period already, by payer; progressive ones leave it open."""
    rows = session.execute(
        text(
            "SELECT tenant_id, lower(period) AS start, upper(period) AS until FROM invoice"
            " WHERE status <> 'void' AND NOT progressive AND tenant_id = ANY(:payers)"
            " AND period && tstzrange(:start, :end)"
        ),
        {"payers": list(payers), "start": period.start, "end": period.end},
    )
    found: dict[int, list[Span]] = {}
    for row in rows:
        found.setdefault(row.tenant_id, []).append(Span(row.start, row.until))
    return found


def require_open(session: Session, payers: Sequence[int], period: Span) -> None:
    """Raises Conflict where a payer has an invoice for a part of a period: the whole would be invoiced twice."""
    for payer, spans in covered(session, payers, period).items():
        other = next((span for span in spans if span != period), None)
        if other is not None:
            slug = tenants.by_id(session)[payer].slug
            raise Conflict(
                f"{slug} was invoiced from {other} already", remedy="name a period that begins where it ends"
            )

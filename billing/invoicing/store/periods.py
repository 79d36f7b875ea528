"""Which periods were invoiced, to whom, and what became of their usage since."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span, month_of


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
            " JOIN usage_month m ON i.period @> m.start AND m.changed_at >= i.issued_at - interval '1 hour'"
            " WHERE i.status <> 'void' AND upper(i.period) <= :start"
        ),
        {"start": period.start},
    )
    found: dict[Span, set[int]] = {}
    for start, until, tenant_id in rows:
        found.setdefault(Span(start, until), set()).add(tenant_id)
    return found


def next_periods(session: Session, period: Span, payers: Sequence[int]) -> dict[int, Span]:
    """The first month after a period for which each payer has no invoice that stands."""
    rows = session.execute(
        text("SELECT tenant_id, lower(period) FROM invoice WHERE status <> 'void' AND tenant_id = ANY(:payers)"),
        {"payers": list(payers)},
    )
    invoiced = {(tenant_id, start) for tenant_id, start in rows}
    found = {}
    for payer in payers:
        after = month_of(period.end)
        while (payer, after.start) in invoiced:
            after = month_of(after.end)
        found[payer] = after
    return found

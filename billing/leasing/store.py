"""Rows of leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import Span
from billing.db.tables.fleet import GpuRow
from billing.db.tables.leasing import LeaseRow
from billing.db.tables.tenants import TenantRow
from billing.fleet.gpu import gpu_seat
from billing.leasing.lease import Lease


def add(session: Session, reference: str, tenant_id: int, gpu_ids: Sequence[int], span: Span, now: datetime) -> None:
    """Raises Conflict when somebody holds one of the GPUs during the span, or the reference is taken."""
    if session.exec(select(LeaseRow.id).where(LeaseRow.reference == reference)).first() is not None:
        raise Conflict(f"lease {reference} exists already", remedy="give another --reference")
    taken = listed(session, gpu_ids=gpu_ids, span=span)
    if taken:
        other = taken[0]
        raise Conflict(
            f"GPU {other.uuid} on {other.host} is let to {other.tenant} ({other.reference}) from {other.span}"
        )
    for gpu_id in gpu_ids:
        session.add(
            LeaseRow(
                reference=reference,
                tenant_id=tenant_id,
                gpu_id=gpu_id,
                seat=gpu_seat(gpu_id),
                during=span,
                created_at=now,
                changed=span,
            )
        )
    session.flush()


def end(session: Session, reference: str, at: datetime) -> list[Lease]:
    """End a lease (all its GPUs) at a time. Raises NotFound, Conflict when it ended before, Invalid before its start."""
    rows = session.exec(
        select(LeaseRow).where(LeaseRow.reference == reference, col(LeaseRow.cancelled_at).is_(None))
    ).all()
    if not rows:
        raise NotFound(f"there is no lease {reference}", remedy="see: stablemeter lease list")
    for row in rows:
        if at >= row.during.end:
            raise Conflict(f"lease {reference} ended at {row.during.end.isoformat()} already")
        if at <= row.during.start:
            raise Invalid(f"lease {reference} began later, at {row.during.start.isoformat()}")
        changed = Span(at, row.during.end)
        row.changed = (
            changed if row.changed is None else Span(min(at, row.changed.start), max(changed.end, row.changed.end))
        )
        row.during = Span(row.during.start, at)
        session.add(row)
    session.flush()
    return listed(session, reference=reference)


def listed(
    session: Session,
    *,
    gpu_ids: Sequence[int] | None = None,
    span: Span | None = None,
    reference: str | None = None,
    tenant_id: int | None = None,
) -> list[Lease]:
    """Leases by start: all, or those of some GPUs, that touch a span, of one contract, of one tenant."""
    query = (
        select(LeaseRow, TenantRow.slug, GpuRow.uuid, GpuRow.host)
        .join(TenantRow, col(TenantRow.id) == LeaseRow.tenant_id)
        .join(GpuRow, col(GpuRow.id) == LeaseRow.gpu_id)
        .where(col(LeaseRow.cancelled_at).is_(None))
        .order_by(col(LeaseRow.during), col(LeaseRow.id))
    )
    if gpu_ids is not None:
        query = query.where(col(LeaseRow.gpu_id).in_(gpu_ids))
    if span is not None:
        query = query.where(col(LeaseRow.during).op("&&")(span))
    if reference is not None:
        query = query.where(LeaseRow.reference == reference)
    if tenant_id is not None:
        query = query.where(LeaseRow.tenant_id == tenant_id)
    return [
        Lease(row.id or 0, row.reference, slug, row.tenant_id, row.gpu_id, uuid, host, row.during)
        for row, slug, uuid, host in session.exec(query)
    ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which contracts: empty fields are no filter. `where` is a host's name or a GPU's UUID; `state` is as of `now`: running,
    coming or ended. `after_id` is the row after which the list begins."""

    now: datetime
    tenant: str = ""
    where: str = ""
    reference: str = ""
    state: str = ""
    after_id: int = 0
    limit: int = 50


def contracts(session: Session, wanted: Wanted) -> list[dict[str, Any]]:
    """Leases, the newest first: one row for all GPUs that were let together and end together, with its `id`."""
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT min(l.id) AS id, l.reference, t.slug AS tenant, lower(l.during) AS start,"
            " upper(l.during) AS until, min(l.created_at) AS created_at, count(*) AS gpus,"
            " array_agg(DISTINCT g.host ORDER BY g.host) AS hosts, array_agg(g.uuid) AS uuids,"
            " count(l.changed) AS underived FROM lease l JOIN tenant t ON t.id = l.tenant_id JOIN gpu g ON g.id = l.gpu_id"
            " WHERE l.cancelled_at IS NULL AND (:tenant = '' OR t.slug = :tenant)"
            " AND (:reference = '' OR l.reference = :reference) GROUP BY l.reference, t.slug, l.during) AS c"
            " WHERE (:before = 0 OR id < :before) AND (:place = '' OR :place = ANY(hosts) OR :place = ANY(uuids))"
            " AND CASE :state WHEN 'running' THEN start <= :now AND until > :now WHEN 'coming' THEN start > :now"
            "  WHEN 'ended' THEN until <= :now ELSE true END ORDER BY id DESC LIMIT :limit"
        ),
        {
            "tenant": wanted.tenant, "reference": wanted.reference, "before": wanted.after_id, "place": wanted.where,
            "state": wanted.state, "now": wanted.now, "limit": wanted.limit,
        },
    )  # fmt: skip
    return [dict(row._mapping) for row in rows]


def contract(session: Session, lease_id: int) -> list[Lease]:
    """All GPUs that were let together with one. Raises NotFound."""
    row = session.get(LeaseRow, lease_id)
    if row is None or row.cancelled_at is not None:
        raise NotFound(f"there is no lease {lease_id}")
    return listed(session, reference=row.reference)


def underived(session: Session) -> list[tuple[int, Span]]:
    """(lease, span) of every lease change that usage does not reflect yet."""
    rows = session.exec(select(LeaseRow).where(col(LeaseRow.changed).is_not(None)).order_by(col(LeaseRow.id)))
    return [(row.id or 0, row.changed) for row in rows if row.changed is not None]


def mark_derived(session: Session, done: Sequence[tuple[int, Span]]) -> None:
    """Usage reflects these changes, and no others: somebody may have changed a lease meanwhile. What lies in the future is
    derived when its window is read."""
    for lease_id, span in done:
        session.execute(
            text("UPDATE lease SET changed = NULL WHERE id = :id AND changed = tstzrange(:start, :end)"),
            {"id": lease_id, "start": span.start, "end": span.end},
        )

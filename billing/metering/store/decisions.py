"""Rows of what people decide: maintenance windows, decisions on exclusions, and the time that must be derived again for it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import Seconds, Span
from billing.db.tables.fleet import GpuRow
from billing.db.tables.metering import DueSpanRow, ExclusionRow, MaintenanceRow
from billing.metering.exclusion import DECISION, MAINTENANCE, Maintenance


def due(session: Session, span: Span) -> None:
    """Usage within the span is derived again, as far as it was read."""
    session.add(DueSpanRow(during=span))
    session.flush()


def underived(session: Session) -> list[tuple[int, Span]]:
    """(due span, span) of what usage does not reflect yet."""
    rows = session.exec(select(DueSpanRow).where(col(DueSpanRow.derived_at).is_(None)).order_by(col(DueSpanRow.id)))
    return [(row.id or 0, row.during) for row in rows]


def mark_derived(session: Session, done: Sequence[int], now: datetime) -> None:
    """Usage reflects these spans, and no others: somebody may have decided meanwhile."""
    for row in session.exec(select(DueSpanRow).where(col(DueSpanRow.id).in_(done))):
        row.derived_at = now
        session.add(row)


def add_maintenance(
    session: Session, reference: str, gpu_ids: Sequence[int], span: Span, reason: str, now: datetime
) -> None:
    """Raises Conflict when the reference is taken."""
    if session.exec(select(MaintenanceRow.id).where(MaintenanceRow.reference == reference)).first() is not None:
        raise Conflict(f"maintenance {reference} exists already", remedy="give another --reference")
    session.add_all(
        MaintenanceRow(reference=reference, gpu_id=gpu_id, during=span, reason=reason, created_at=now)
        for gpu_id in gpu_ids
    )
    due(session, span)


def maintenance(session: Session, reference: str) -> tuple[list[int], Span]:
    """The GPUs and the span of a window that stands. Raises NotFound."""
    rows = _standing(session, reference)
    return [row.gpu_id for row in rows], rows[0].during


def end_maintenance(session: Session, reference: str, at: datetime) -> None:
    """Raises NotFound, Conflict when it is over by then, Invalid when it had not begun."""
    for row in _standing(session, reference):
        if at >= row.during.end:
            raise Conflict(f"maintenance {reference} ends at {row.during.end.isoformat()} already")
        if at <= row.during.start:
            raise Invalid(f"maintenance {reference} began later, at {row.during.start.isoformat()}", remedy="cancel it")
        changed, row.during = Span(at, row.during.end), Span(row.during.start, at)
        session.add(row)
    due(session, changed)


def cancel_maintenance(session: Session, reference: str, now: datetime) -> None:
    """It never was. Raises NotFound."""
    for row in _standing(session, reference):
        row.cancelled_at = now
        session.add(row)
    due(session, row.during)


def _standing(session: Session, reference: str) -> list[MaintenanceRow]:
    rows = session.exec(
        select(MaintenanceRow).where(MaintenanceRow.reference == reference, col(MaintenanceRow.cancelled_at).is_(None))
    ).all()
    if not rows:
        raise NotFound(f"there is no maintenance {reference}", remedy="see: stablemeter maintenance list")
    return list(rows)


def maintenance_of(session: Session, gpu_ids: Sequence[int], window: Seconds) -> dict[int, list[Maintenance]]:
    """The windows that stand and touch a span, by GPU."""
    found: dict[int, list[Maintenance]] = defaultdict(list)
    rows = session.exec(
        select(MaintenanceRow)
        .where(
            col(MaintenanceRow.gpu_id).in_(gpu_ids),
            col(MaintenanceRow.cancelled_at).is_(None),
            col(MaintenanceRow.during).op("&&")(Span.from_seconds(window)),
        )
        .order_by(col(MaintenanceRow.id))
    )
    for row in rows:
        found[row.gpu_id].append(Maintenance(row.reference, row.reason, row.during.seconds))
    return found


def windows(
    session: Session, *, reference: str | None = None, after_id: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """Maintenance windows by age, one row for all GPUs that were announced together."""
    rows = session.execute(
        text(
            "SELECT min(m.id) AS id, m.reference, lower(m.during) AS start, upper(m.during) AS until, m.reason,"
            " count(*) AS gpus, array_agg(DISTINCT g.host ORDER BY g.host) AS hosts,"
            " CASE WHEN m.cancelled_at IS NULL THEN 'stands' ELSE 'cancelled' END AS status"
            " FROM maintenance m JOIN gpu g ON g.id = m.gpu_id"
            " WHERE CAST(:reference AS text) IS NULL OR m.reference = :reference"
            " GROUP BY m.reference, m.during, m.reason, m.cancelled_at"
            " HAVING min(m.id) > :after ORDER BY 1 LIMIT :limit"
        ),
        {"reference": reference, "after": after_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def exclusions(
    session: Session, *, state: str | None = None, after_id: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """Current exclusions by age, with the leases that they are about."""
    rows = session.execute(
        text(
            "SELECT x.id, x.state, g.uuid AS gpu, g.host, lower(x.during) AS start, upper(x.during) AS until,"
            " extract(epoch FROM upper(x.during) - lower(x.during))::bigint AS seconds, x.reason, x.evidence,"
            " array_to_string(array_agg(DISTINCT t.slug ORDER BY t.slug), ', ') AS tenant,"
            " array_to_string(array_agg(DISTINCT l.reference ORDER BY l.reference), ', ') AS lease"
            " FROM exclusion x JOIN gpu g ON g.id = x.gpu_id"
            " LEFT JOIN lease l ON l.gpu_id = x.gpu_id AND l.cancelled_at IS NULL AND l.during && x.during"
            " LEFT JOIN tenant t ON t.id = l.tenant_id"
            " WHERE x.superseded_at IS NULL AND x.id > :after AND (CAST(:state AS text) IS NULL OR x.state = :state)"
            " GROUP BY x.id, g.uuid, g.host ORDER BY x.id LIMIT :limit"
        ),
        {"state": state, "after": after_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def decide(session: Session, exclusion_id: int, state: str, now: datetime) -> int:
    """A person's word replaces an exclusion's state, for good; returns the id of the row that says so.

    Raises NotFound for an unknown one, Conflict when it is in that state, was derived again since, or is maintenance.
    """
    row = session.exec(select(ExclusionRow).where(ExclusionRow.id == exclusion_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"there is no exclusion {exclusion_id}", remedy="see: stablemeter meter exclusions list")
    if row.superseded_at is not None:
        raise Conflict(
            f"exclusion {exclusion_id} was replaced since it was listed",
            remedy="see: stablemeter meter exclusions list",
        )
    if row.state == state:
        raise Conflict(f"exclusion {exclusion_id} is {state} already")
    if row.evidence.startswith(MAINTENANCE):
        name = row.evidence.removeprefix(MAINTENANCE)
        raise Conflict(f"exclusion {exclusion_id} is maintenance {name}", remedy=f"maintenance cancel {name}")
    row.superseded_at = now
    session.add(row)
    session.flush()
    evidence = row.evidence if row.evidence.startswith(DECISION) else DECISION + row.evidence
    new = ExclusionRow(
        gpu_id=row.gpu_id, during=row.during, reason=row.reason, evidence=evidence, state=state, recorded_at=now
    )
    session.add(new)
    due(session, row.during)
    assert new.id is not None
    return new.id


def subject(session: Session, exclusion_id: int) -> tuple[int, str, Span]:
    """(gpu id, its UUID, span) of an exclusion."""
    row, uuid = session.exec(
        select(ExclusionRow, GpuRow.uuid)
        .join(GpuRow, col(GpuRow.id) == ExclusionRow.gpu_id)
        .where(ExclusionRow.id == exclusion_id)
    ).one()
    return row.gpu_id, uuid, row.during

"""What a tenant used, day by day, lease by lease, customer by customer. Read only."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span


def by_day(session: Session, tenants: Sequence[int], span: Span) -> list[tuple[date, int]]:
    """(day in UTC, billable device-seconds), every day of the span."""
    rows = session.execute(
        text(
            "SELECT d.day::date AS day, coalesce(sum(extract(epoch FROM upper(u.part) - lower(u.part))), 0)::bigint AS seconds"
            " FROM generate_series(:start, :end - interval '1 second', interval '1 day') AS d(day) LEFT JOIN LATERAL ("
            "  SELECT during * tstzrange(d.day, least(d.day + interval '1 day', :end)) AS part FROM usage"
            "  WHERE superseded_at IS NULL AND tenant_id = ANY(:tenants)"
            "    AND during && tstzrange(d.day, least(d.day + interval '1 day', :end))) AS u ON true"
            " GROUP BY d.day ORDER BY d.day"
        ),
        {"tenants": list(tenants), "start": span.start, "end": span.end},
    )
    return [(row.day, row.seconds) for row in rows]


_USED = """
    SELECT extract(epoch FROM upper(u.during * s.r) - lower(u.during * s.r)) AS seconds, u.tenant_id, u.lease_id, u.device_id
      FROM usage u CROSS JOIN (SELECT tstzrange(:start, :end) AS r) AS s
     WHERE u.superseded_at IS NULL AND u.tenant_id = ANY(:tenants) AND u.during && s.r"""


def by_lease(session: Session, tenant: int, span: Span, limit: int) -> list[dict[str, Any]]:
    """Billable device-seconds by lease, the most first; the lease is None for what was seen under a label."""
    return _rows(
        session,
        f"SELECT l.reference AS lease, count(DISTINCT u.device_id) AS devices, sum(u.seconds)::bigint AS seconds"  # noqa: S608
        f" FROM ({_USED}) AS u LEFT JOIN lease l ON l.id = u.lease_id GROUP BY l.reference"
        " ORDER BY seconds DESC, l.reference LIMIT :limit",
        {"tenants": [tenant], "start": span.start, "end": span.end, "limit": limit},
    )


def by_tenant(session: Session, tenants: Sequence[int], span: Span) -> list[dict[str, Any]]:
    """Billable device-seconds of each of some tenants."""
    return _rows(
        session,
        "SELECT t.slug, t.name, coalesce(sum(u.seconds), 0)::bigint AS seconds, count(DISTINCT u.device_id) AS devices"  # noqa: S608
        f" FROM tenant t LEFT JOIN ({_USED}) AS u ON u.tenant_id = t.id WHERE t.id = ANY(:tenants)"
        " GROUP BY t.id ORDER BY t.slug",
        {"tenants": list(tenants), "start": span.start, "end": span.end},
    )


def _rows(session: Session, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(text(sql), values)]

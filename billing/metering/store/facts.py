"""What other concerns and pages ask of metering: unknown labels, the intervals behind a line, coverage, exclusions."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span, epoch_seconds


def unknown_labels(session: Session, since: datetime) -> list[dict[str, Any]]:
    """Labels that no tenant claims, with the GPU-hours that they held, largest first."""
    rows = session.execute(
        text(
            "SELECT s.name AS source, held.label, count(DISTINCT o.device_id) AS devices,"
            " round(sum(extract(epoch FROM upper(o.during) - lower(o.during))) / 3600, 2)::text AS device_hours"
            " FROM observation o JOIN source s ON s.id = o.source_id, unnest(o.labels) AS held(label)"
            " WHERE o.superseded_at IS NULL AND o.state = 'present' AND upper(o.during) > :since"
            " AND NOT EXISTS (SELECT 1 FROM tenant_claim c WHERE c.label = held.label AND c.source IN ('', s.name))"
            " GROUP BY s.name, held.label ORDER BY sum(upper(o.during) - lower(o.during)) DESC LIMIT 50"
        ),
        {"since": since},
    )
    return [dict(row._mapping) for row in rows]


def claimed_labels(session: Session) -> dict[str, str]:
    """{label or tenant's name, in lower case: tenant}."""
    rows = session.execute(
        text(
            "SELECT lower(c.label), t.slug FROM tenant_claim c JOIN tenant t ON t.id = c.tenant_id"
            " UNION SELECT slug, slug FROM tenant UNION SELECT lower(name), slug FROM tenant ORDER BY 1, 2"
        )
    )
    return {row[0]: row[1] for row in rows}


def usage_by_device(session: Session, period: Span, tenant_id: int | None = None) -> list[dict[str, Any]]:
    """Billable seconds by tenant, device and basis within a period."""
    rows = session.execute(
        text(
            "SELECT t.slug AS tenant, g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END"
            " AS device, g.host, g.model, u.basis, count(*) AS runs,"
            " sum(extract(epoch FROM upper(u.during * p.r) - lower(u.during * p.r)))::bigint AS seconds"
            " FROM (SELECT tstzrange(:start, :end) AS r) p CROSS JOIN usage u JOIN tenant t ON t.id = u.tenant_id"
            " JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id"
            " WHERE u.superseded_at IS NULL AND u.during && p.r"
            " AND (CAST(:tenant AS bigint) IS NULL OR u.tenant_id = :tenant)"
            " GROUP BY t.slug, g.uuid, d.gpu_i_id, d.profile, g.host, g.model, u.basis ORDER BY 1, 3, 2, 5"
        ),
        {"start": period.start, "end": period.end, "tenant": tenant_id},
    )
    return [{**row._mapping, "hours": f"{row.seconds // 36 // 100}.{row.seconds // 36 % 100:02d}"} for row in rows]


def intervals(session: Session, tenant_id: int, sku: str, period: Span) -> list[dict[str, Any]]:
    """The usage intervals of a tenant and SKU within a span, each with its ground (a lease, or a source's label) and the
    readings, of all sources that said something about the GPU then: how many, and a digest over theirs."""
    rows = session.execute(
        text(
            "SELECT g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END AS device,"
            " coalesce((SELECT w.host FROM place w WHERE w.gpu_id = g.id AND w.during && (u.during * p.r)"
            "  ORDER BY upper(w.during) DESC, w.source LIMIT 1), g.host) AS host,"
            ' lower(u.during * p.r) AS "from", upper(u.during * p.r) AS "to",'
            " extract(epoch FROM upper(u.during * p.r) - lower(u.during * p.r))::bigint AS seconds, u.basis,"
            " CASE WHEN u.bridged THEN 'gap bridged, label seen by ' || s.name || ' before and after'"
            " ELSE coalesce('lease ' || l.reference, 'label seen by ' || s.name) END AS because,"
            " count(r.id) AS readings,"
            " encode(sha256(convert_to(coalesce(string_agg(r.digest, '' ORDER BY r.source_id, r.during), ''), 'UTF8')),"
            " 'hex') AS digest"
            " FROM (SELECT tstzrange(:start, :end) AS r) p CROSS JOIN usage u JOIN device d ON d.id = u.device_id"
            " JOIN gpu g ON g.id = d.gpu_id JOIN sku k ON g.model = ANY(k.models) AND k.profile = d.profile AND k.code = :sku"
            " LEFT JOIN lease l ON l.id = u.lease_id LEFT JOIN source s ON s.id = u.source_id"
            " LEFT JOIN reading r ON r.superseded_at IS NULL AND r.during && (u.during * p.r) AND r.source_id IN"
            "  (SELECT o.source_id FROM observation o JOIN device e ON e.id = o.device_id"
            "    WHERE e.gpu_id = g.id AND o.superseded_at IS NULL AND o.during && (u.during * p.r))"
            " WHERE u.superseded_at IS NULL AND u.during && p.r AND u.tenant_id = :tenant"
            " GROUP BY u.id, g.id, g.uuid, d.gpu_i_id, d.profile, g.host, u.during, p.r, u.basis, l.reference, s.name"
        ),
        {"start": period.start, "end": period.end, "tenant": tenant_id, "sku": sku},
    )
    return sorted((dict(row._mapping) for row in rows), key=lambda row: (row["device"], row["from"]))


def usage_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """The digest that an invoice line carries, over intervals as `intervals` returns them: `device start end` lines."""
    lines = [f"{row['device']} {epoch_seconds(row['from'])} {epoch_seconds(row['to'])}" for row in rows]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

"""Read models of coverage: how well each source was read, day by day, and what was not seen."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span


def reads(session: Session, now: datetime) -> dict[str, dict[str, Any]]:
    """By source, of its last 31 days: when it was read last, how often windows were read again, and how often that changed
    what had been read."""
    rows = session.execute(
        text(
            "SELECT s.name, max(r.read_at) AS read_at,"
            " coalesce(sum(r.rereads) FILTER (WHERE r.superseded_at IS NULL), 0)::bigint AS rereads,"
            " count(r.id) FILTER (WHERE r.superseded_at IS NOT NULL) AS replaced"
            " FROM source s LEFT JOIN reading r ON r.source_id = s.id AND upper(r.during) > :now - interval '31 days'"
            " GROUP BY s.id"
        ),
        {"now": now},
    )
    return {row.name: dict(row._mapping) for row in rows}


def days(session: Session, span: Span, source: str = "") -> list[dict[str, Any]]:
    """One row for each source and day of a span, the newest day first: GPU-seconds seen, missing and blind, and windows."""
    rows = session.execute(
        text(
            "SELECT s.name AS source, date_trunc('day', lower(r.during), 'UTC') AS day, count(*) AS windows,"
            " count(*) FILTER (WHERE r.status <> 'complete') AS incomplete,"
            " sum(r.present_seconds)::bigint AS present, sum(r.missing_seconds)::bigint AS missing,"
            " sum(r.blind_seconds)::bigint AS blind, sum(r.samples)::bigint AS samples, sum(r.rereads)::bigint AS rereads"
            " FROM reading r JOIN source s ON s.id = r.source_id WHERE r.superseded_at IS NULL"
            " AND r.during && tstzrange(:start, :end) AND lower(r.during) >= :start"
            " AND (:source = '' OR s.name = :source) GROUP BY 1, 2 ORDER BY 2 DESC, 1"
        ),
        {"start": span.start, "end": span.end, "source": source},
    )
    return [dict(row._mapping) for row in rows]


def gaps(session: Session, span: Span, source: str, before_id: int, limit: int) -> list[dict[str, Any]]:
    """Windows of a span that were not seen completely, or hold something that was not understood: the newest reading first,
    with how many exclusions lie in them, by what was decided."""
    rows = session.execute(
        text(
            "SELECT r.id, s.name AS source, lower(r.during) AS start, upper(r.during) AS until, r.status, r.reason,"
            " r.missing_seconds, r.blind_seconds, r.rereads, x.proposed, x.accepted, x.rejected"
            " FROM reading r JOIN source s ON s.id = r.source_id CROSS JOIN LATERAL ("
            "  SELECT count(*) FILTER (WHERE e.state = 'proposed') AS proposed,"
            "   count(*) FILTER (WHERE e.state = 'accepted') AS accepted,"
            "   count(*) FILTER (WHERE e.state = 'rejected') AS rejected"
            "   FROM exclusion e JOIN gpu g ON g.id = e.gpu_id"
            "  WHERE e.superseded_at IS NULL AND e.during && r.during AND g.source = s.name) AS x"
            " WHERE r.superseded_at IS NULL AND (r.status <> 'complete' OR r.reason <> '')"
            " AND r.during && tstzrange(:start, :end) AND (:source = '' OR s.name = :source)"
            " AND (:before = 0 OR r.id < :before) ORDER BY r.id DESC LIMIT :limit"
        ),
        {"start": span.start, "end": span.end, "source": source, "before": before_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]

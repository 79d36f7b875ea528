"""What other concerns and pages ask of metering: unknown labels, the intervals behind a line, coverage, exclusions."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session


def unknown_labels(session: Session, since: datetime) -> list[dict[str, Any]]:
    """Labels that no tenant claims, with the GPU-hours that they held, largest first."""
    rows = session.execute(
        text(
            "SELECT s.name AS source, label, count(DISTINCT o.device_id) AS devices,"
            " round(sum(extract(epoch FROM upper(o.during) - lower(o.during))) / 3600, 2)::text AS device_hours"
            " FROM observation o JOIN source s ON s.id = o.source_id, unnest(o.labels) AS label"
            " WHERE o.superseded_at IS NULL AND o.state = 'present' AND upper(o.during) > :since"
            " AND NOT EXISTS (SELECT 1 FROM tenant_claim c WHERE c.label = label AND c.source IN ('', s.name))"
            " GROUP BY s.name, label ORDER BY sum(upper(o.during) - lower(o.during)) DESC LIMIT 50"
        ),
        {"since": since},
    )
    return [dict(row._mapping) for row in rows]

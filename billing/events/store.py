"""Rows of events: stored once, and added up. The sums are NUMERIC; nothing is rounded."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core import quantity
from billing.core.period import FOREVER, Span
from billing.events.event import Batch
from billing.events.meter import Meter, Total

SOURCE: Final = "events"
"""What claims call this source: `events:LABEL` is a subject here, and a label nowhere else."""

_STAGED: Final = """
    WITH staged AS (
      SELECT e ->> 'source' AS source, e ->> 'id' AS event_id, e ->> 'type' AS type, e ->> 'subject' AS subject,
             (CAST(:times AS timestamptz[]))[n] AS happened_at, e ->> 'time' IS NOT NULL AS timed,
             nullif(e -> 'data', 'null') AS data, n
        FROM jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS one (e, n))"""


def add(session: Session, batch: Batch, now: datetime) -> int:
    """Store the events that are new; returns how many. Of a key that a batch has twice, the first. In the order of their
    keys, so that two batches with the same events never wait for each other in a circle."""
    found: Any = session.execute(
        text(
            _STAGED
            + """
    INSERT INTO event (source, event_id, type, subject, happened_at, received_at, data)
    SELECT source, event_id, type, subject, happened_at, :now, data FROM staged ORDER BY source, event_id, n
        ON CONFLICT DO NOTHING"""
        ),
        {**_values(batch, now), "now": now},
    )
    count: int = found.rowcount
    return count


def differing(session: Session, batch: Batch, now: datetime) -> list[tuple[str, str]]:
    """The keys, (source, id), under which another payload is stored than the batch has. Data is compared as JSON: the order
    of keys does not matter, nor do 1 and 1.0 differ. A time that the sender left out is no difference."""
    rows = session.execute(
        text(
            _STAGED
            + """
    SELECT DISTINCT source, event_id FROM staged s JOIN event e USING (source, event_id)
     WHERE s.type <> e.type OR s.subject <> e.subject OR (s.timed AND s.happened_at <> e.happened_at)
        OR s.data IS DISTINCT FROM e.data
     ORDER BY source, event_id"""
        ),
        _values(batch, now),
    )
    return [(source, event_id) for source, event_id in rows]


def _values(batch: Batch, now: datetime) -> dict[str, Any]:
    times = ",".join([(one.time or now).isoformat() for one in batch.events])
    return {"events": batch.text, "times": f"{{{times}}}"}


def strangers(session: Session, subjects: Iterable[str]) -> set[str]:
    """The subjects that mean no tenant, now or at any other time."""
    rows = session.execute(
        text(
            "SELECT subject FROM unnest(CAST(:subjects AS text[])) AS subject"
            " WHERE NOT EXISTS (SELECT 1 FROM tenant WHERE slug = subject)"
            " AND NOT EXISTS (SELECT 1 FROM tenant_claim WHERE label = subject AND source IN ('', :source))"
        ),
        {"subjects": list(subjects), "source": SOURCE},
    )
    return {row[0] for row in rows}


_OWNERS: Final = """
    owners AS (
      WITH claim AS (
        SELECT source, label, tenant_id, range_agg(during) AS during FROM tenant_claim WHERE source IN ('', 'events')
         GROUP BY source, label, tenant_id)
      SELECT label AS subject, tenant_id, during FROM claim WHERE source = 'events'
      UNION ALL
      SELECT label, tenant_id, during - coalesce((SELECT range_agg(c.during) FROM tenant_claim c
                                                   WHERE c.source = 'events' AND c.label = claim.label), '{}')
        FROM claim WHERE source = ''
      UNION ALL
      SELECT slug, id, '{(,)}'::tstzmultirange - coalesce((SELECT range_agg(c.during) FROM tenant_claim c
                                             WHERE c.source IN ('', 'events') AND c.label = slug), '{}')
        FROM tenant)"""
"""Which subject is whom when. A claim for events beats a claim for every source, and both beat a tenant's own name."""

_METERS: Final = """meters AS (
      SELECT meter, type, ARRAY(SELECT jsonb_array_elements_text(path)) AS path, aggregation,
             coalesce(since, '-infinity') AS since
        FROM jsonb_to_recordset(CAST(:meters AS jsonb))
             AS m (meter text, type text, path jsonb, aggregation text, since timestamptz))"""

_COUNTED: Final = f"""
    WITH {_METERS},
    {_OWNERS.strip()},
    stated AS (
      SELECT m.meter, m.aggregation, o.tenant_id, e.subject, e.source, e.event_id, e.happened_at,
             CASE WHEN m.aggregation = 'count' THEN '1' ELSE e.data #>> m.path END AS value
        FROM meters m JOIN event e ON e.type = m.type AND e.happened_at >= greatest(:start, m.since) AND e.happened_at < :end
        JOIN owners o ON o.subject = e.subject AND o.during @> e.happened_at
       WHERE CAST(:tenants AS bigint[]) IS NULL OR o.tenant_id = ANY(:tenants)),
    usable AS (
      SELECT *, CASE WHEN value ~ '{quantity.PATTERN}' THEN value::numeric END AS amount FROM stated),
    counted AS (
      SELECT * FROM usable WHERE aggregation IN ('sum', 'count') AND amount IS NOT NULL
      UNION ALL
      (SELECT DISTINCT ON (meter, tenant_id, subject) * FROM usable WHERE aggregation = 'max' AND amount IS NOT NULL
        ORDER BY meter, tenant_id, subject, amount DESC, happened_at, source COLLATE "C", event_id COLLATE "C")
      UNION ALL
      (SELECT DISTINCT ON (meter, tenant_id, subject) * FROM usable WHERE aggregation = 'latest' AND amount IS NOT NULL
        ORDER BY meter, tenant_id, subject, happened_at DESC, source COLLATE "C" DESC, event_id COLLATE "C" DESC)),
    cuts AS (
      SELECT * FROM jsonb_to_recordset(CAST(:cuts AS jsonb)) AS c (meter text, start timestamptz, until timestamptz)),
    hours AS (
      SELECT n.meter, n.tenant_id, c.start, c.until, floor(extract(epoch FROM n.happened_at) / 3600)::bigint * 3600 AS hour,
             sum(n.amount) AS quantity, count(*) AS events, min(n.happened_at) AS first,
             encode(sha256(convert_to(string_agg(concat_ws(chr(9), n.source, n.event_id,
               (extract(epoch FROM n.happened_at) * 1000000)::bigint::text, n.value), chr(10)
               ORDER BY n.source COLLATE "C", n.event_id COLLATE "C"), 'UTF8')), 'hex') AS digest
        FROM counted n LEFT JOIN cuts c ON c.meter = n.meter AND n.happened_at >= c.start AND n.happened_at < c.until
       GROUP BY n.meter, n.tenant_id, c.start, c.until, hour)"""
"""What counts, by meter, tenant, price and hour. Ties are broken by the events' keys, never by their order of arrival."""


def totals(
    session: Session,
    meters: Iterable[Meter],
    period: Span,
    cuts: Mapping[str, Sequence[Span]],
    tenant_ids: Iterable[int] | None = None,
    since: Mapping[str, datetime] = MappingProxyType({}),
) -> list[Total]:
    """Add up a period, cut into spans by meter; of a meter in `since`, only what happened from then on.

    The digest is SHA-256 over `hour digest` lines; `hours` lists them."""
    values = _asked(meters, period, cuts, tenant_ids, since)
    if not values["meters"]:
        return []
    rows = session.execute(
        text(
            _COUNTED
            + """
    SELECT meter, tenant_id, start, until, sum(quantity) AS quantity, sum(events)::bigint AS events, min(first) AS first,
           encode(sha256(convert_to(string_agg(hour || ' ' || digest, chr(10) ORDER BY hour), 'UTF8')), 'hex') AS digest
      FROM hours GROUP BY meter, tenant_id, start, until ORDER BY tenant_id, meter, start"""
        ),
        values,
    )
    return [
        Total(
            r.tenant_id,
            r.meter,
            None if r.start is None else Span(r.start, r.until),
            r.quantity,
            r.events,
            r.digest,
            r.first,
        )
        for r in rows
    ]


def hours(session: Session, meter: Meter, tenant_id: int, period: Span, span: Span) -> list[dict[str, Any]]:
    """The hours of a span in which a meter counted something for a tenant; `period` is the whole that it was billed in."""
    rows = session.execute(
        text(
            _COUNTED
            + """
    SELECT to_timestamp(hour) AS hour, hour AS epoch, quantity, events, digest FROM hours
     WHERE start IS NOT NULL ORDER BY hour"""
        ),
        _asked([meter], period, {meter.name: [span]}, [tenant_id]),
    )
    return [{**row._mapping, "quantity": quantity.plain(row.quantity)} for row in rows]


def payers(session: Session, meters: Iterable[Meter], period: Span, since: Mapping[str, datetime]) -> set[int]:
    """The tenants for which some meter has an event in a period (from `since` on), or who pay for such a tenant."""
    values = _asked(meters, period, {}, None, since)
    if not values["meters"]:
        return set()
    rows = session.execute(
        text(
            _COUNTED
            + " SELECT DISTINCT coalesce(t.reseller_id, t.id) FROM usable u JOIN tenant t ON t.id = u.tenant_id"
            " WHERE u.amount IS NOT NULL"
        ),
        values,
    )
    return {row[0] for row in rows}


def first(session: Session, meters: Iterable[Meter]) -> datetime | None:
    """When the oldest event of some meters' types happened."""
    found: datetime | None = session.execute(
        text(
            "SELECT min(first) FROM unnest(CAST(:types AS text[])) AS wanted,"
            " LATERAL (SELECT min(happened_at) AS first FROM event WHERE event.type = wanted) AS oldest"
        ),
        {"types": [meter.event_type for meter in meters]},
    ).scalar_one()
    return found


_TYPES: Final = """
    WITH RECURSIVE kinds AS (
      (SELECT type FROM event ORDER BY type LIMIT 1)
      UNION ALL
      SELECT (SELECT e.type FROM event e WHERE e.type > kinds.type ORDER BY e.type LIMIT 1) FROM kinds
       WHERE kinds.type IS NOT NULL)"""
"""Every type there is, by a few steps in the index instead of a walk through the table."""


def unknown_types(session: Session, meters: Iterable[Meter], since: datetime) -> list[dict[str, Any]]:
    """Types of events that no meter counts, with what came of them since."""
    rows = session.execute(
        text(
            _TYPES
            + """
    SELECT kinds.type, found.events, found.first, found.last
      FROM kinds, LATERAL (SELECT count(*) AS events, min(happened_at) AS first, max(happened_at) AS last FROM event e
                            WHERE e.type = kinds.type AND e.happened_at >= :since) AS found
     WHERE kinds.type IS NOT NULL AND kinds.type <> ALL(CAST(:known AS text[])) AND found.events > 0
     ORDER BY found.events DESC, kinds.type LIMIT 50"""
        ),
        {"since": since, "known": [meter.event_type for meter in meters]},
    )
    return [dict(row._mapping) for row in rows]


def unknown_subjects(session: Session, since: datetime) -> list[dict[str, Any]]:
    """Subjects that meant no tenant when their events happened, and the tenant whose name each begins with, if any."""
    rows = session.execute(
        text(
            _TYPES
            + f""",
    {_OWNERS.strip()}
    SELECT e.subject, count(*) AS events, min(e.happened_at) AS first, max(e.happened_at) AS last,
           (SELECT slug FROM tenant t WHERE starts_with(lower(e.subject), t.slug) ORDER BY length(slug) DESC LIMIT 1)
             AS suggestion
      FROM kinds JOIN event e ON e.type = kinds.type AND e.happened_at >= :since
      LEFT JOIN owners o ON o.subject = e.subject AND o.during @> e.happened_at
     WHERE o.subject IS NULL GROUP BY e.subject ORDER BY count(*) DESC, e.subject LIMIT 50"""
        ),
        {"since": since},
    )
    return [dict(row._mapping) for row in rows]


def counted(session: Session, meters: Iterable[Meter], since: datetime) -> list[dict[str, Any]]:
    """Each meter: the events of its type since, the newest one, and how many have no value that it could count."""
    values = _asked(meters, Span(since, FOREVER), {}, None)
    if not values["meters"]:
        return []
    rows = session.execute(
        text(
            f"""
    WITH {_METERS}
    SELECT m.meter AS name, m.type, m.aggregation, count(e.type) AS events, max(e.happened_at) AS newest,
           count(e.type) FILTER (WHERE m.aggregation <> 'count' AND (e.data #>> m.path) ~ '{quantity.PATTERN}' IS NOT TRUE)
             AS unusable
      FROM meters m LEFT JOIN event e ON e.type = m.type AND e.happened_at >= :start AND e.happened_at < :end
     GROUP BY m.meter, m.type, m.aggregation ORDER BY m.meter"""
        ),
        values,
    )
    return [dict(row._mapping) for row in rows]


def _asked(
    meters: Iterable[Meter],
    period: Span,
    cuts: Mapping[str, Sequence[Span]],
    tenant_ids: Iterable[int] | None,
    since: Mapping[str, datetime] = MappingProxyType({}),
) -> dict[str, Any]:
    wanted = [
        {
            "meter": one.name,
            "type": one.event_type,
            "path": list(one.path),
            "aggregation": one.aggregation.value,
            "since": since[one.name].isoformat() if one.name in since else None,
        }
        for one in meters
    ]
    spans = [
        {"meter": name, "start": span.start.isoformat(), "until": span.end.isoformat()}
        for name, own in cuts.items()
        for span in own
    ]
    return {
        "meters": json.dumps(wanted) if wanted else "",
        "cuts": json.dumps(spans),
        "start": period.start,
        "end": period.end,
        "tenants": None if tenant_ids is None else list(tenant_ids),
    }

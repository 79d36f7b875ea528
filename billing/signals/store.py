"""Where the gauges are in the database."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from billing.telemetry import metrics

_GAUGES: Final[dict[metrics.Gauge, str]] = {
    metrics.SOURCE_LAG: """
        SELECT s.name, extract(epoch FROM :now - coalesce(max(upper(r.during)), s.since))::bigint
          FROM source s LEFT JOIN reading r ON r.source_id = s.id AND r.superseded_at IS NULL
         GROUP BY s.id ORDER BY s.name""",
    metrics.LIST_AGE: """
        SELECT DISTINCT ON (name) name, extract(epoch FROM :now - dated)::bigint
          FROM sanctions_list WHERE dropped_at IS NULL ORDER BY name, id DESC""",
    metrics.LIST_STALE: """
        SELECT DISTINCT ON (name) name, (problem <> '' OR dated < :now - make_interval(days => stale_after_days))::int
          FROM sanctions_list WHERE dropped_at IS NULL ORDER BY name, id DESC""",
    metrics.SOURCE_FAILING: "SELECT name, (failed_at IS NOT NULL)::int FROM source ORDER BY name",
    metrics.SOURCE_BLIND: """
        SELECT s.name, coalesce(sum(r.blind_seconds), 0)::bigint
          FROM source s LEFT JOIN reading r ON r.source_id = s.id AND r.superseded_at IS NULL
               AND upper(r.during) > :now - interval '31 days'
         GROUP BY s.id ORDER BY s.name""",
    metrics.SOURCE_MISSING: """
        SELECT s.name, coalesce(sum(r.missing_seconds), 0)::bigint
          FROM source s LEFT JOIN reading r ON r.source_id = s.id AND r.superseded_at IS NULL
               AND upper(r.during) > :now - interval '31 days'
         GROUP BY s.id ORDER BY s.name""",
    metrics.SOURCE_INCOMPLETE: """
        SELECT s.name, count(r.id) FROM source s LEFT JOIN reading r ON r.source_id = s.id AND r.superseded_at IS NULL
               AND r.status <> 'complete' AND upper(r.during) > :now - interval '31 days'
         GROUP BY s.id ORDER BY s.name""",
    metrics.UNKNOWN_LABELS: """
        SELECT s.name, (SELECT count(DISTINCT held.label) FROM observation o, unnest(o.labels) AS held(label)
           WHERE o.source_id = s.id AND o.superseded_at IS NULL AND o.during && tstzrange(:now - interval '1 day', :now)
             AND NOT EXISTS (SELECT 1 FROM tenant_claim c WHERE c.label = held.label AND c.source IN ('', s.name)))
          FROM source s ORDER BY s.name""",
    metrics.CONSERVED: """
        SELECT part.category, (sum(part.amount) / 840)::bigint FROM gpu_day d CROSS JOIN LATERAL (VALUES
               ('billed', billed), ('excluded', excluded), ('disputed', disputed), ('idle', idle),
               ('unattributed', unattributed), ('missing', missing), ('blind', blind), ('unread', unread))
               AS part(category, amount)
         WHERE d.day = (SELECT max(day) FROM gpu_day) GROUP BY part.category ORDER BY part.category""",
    metrics.GPUS: "SELECT source, count(*) FROM gpu WHERE in_service @> CAST(:now AS timestamptz) GROUP BY source ORDER BY source",
    metrics.CHAIN_BLOCK: "SELECT name, cursor_number FROM chain_state ORDER BY chain_id",
    metrics.CHAIN_AGE: "SELECT name, extract(epoch FROM :now - cursor_mined_at)::bigint FROM chain_state ORDER BY chain_id",
    metrics.CHAIN_UNFINAL: """
        SELECT name, cursor_number - greatest(final_number, start_number - 1) FROM chain_state ORDER BY chain_id""",
    metrics.CHAIN_CONFIRMED_AGE: """
        SELECT name, extract(epoch FROM :now - confirmed_moved_at)::bigint FROM chain_state ORDER BY chain_id""",
    metrics.CHAIN_FINAL_AGE: """
        SELECT name, extract(epoch FROM :now - final_moved_at)::bigint FROM chain_state ORDER BY chain_id""",
    metrics.CHAIN_UNPROVEN: """
        SELECT c.name, greatest(0, c.final_number - coalesce(p.number, c.start_number - 1)) FROM chain_state c
          LEFT JOIN chain_proof p ON p.chain_id = c.chain_id ORDER BY c.chain_id""",
    metrics.CHAIN_STOPPED: "SELECT name, (stopped <> '')::int FROM chain_state ORDER BY chain_id",
    metrics.UNSETTLED: "SELECT count(*) FROM transfer WHERE NOT settled",
    metrics.INVOICES: """
        SELECT s.status, count(i.id) FROM unnest(ARRAY['open', 'paid', 'void', 'uncollectible']) AS s (status)
          LEFT JOIN invoice i ON i.status = s.status GROUP BY s.status ORDER BY s.status""",
    metrics.EXCEPTIONS: "SELECT kind, count(*) FROM exception WHERE status = 'open' GROUP BY kind ORDER BY kind",
    metrics.PROPOSED: "SELECT count(*) FROM exclusion WHERE superseded_at IS NULL AND state = 'proposed'",
    metrics.FINDINGS: """
        SELECT (details ->> 'count')::bigint FROM trail WHERE action = 'audit' ORDER BY id DESC LIMIT 1""",
    metrics.SOURCE_READ_AGE: """
        SELECT s.name, extract(epoch FROM :now - coalesce(max(r.read_at), s.since))::bigint
          FROM source s LEFT JOIN reading r ON r.source_id = s.id
         GROUP BY s.id ORDER BY s.name""",
    metrics.CONSERVED_AGE: "SELECT extract(epoch FROM :now - max(day) - interval '1 day')::bigint FROM gpu_day HAVING count(*) > 0",
    metrics.UNSETTLED_AGE: "SELECT coalesce(extract(epoch FROM :now - min(state_at)), 0)::bigint FROM transfer WHERE NOT settled",
    metrics.OVERDUE: "SELECT count(*) FROM invoice WHERE status = 'open' AND due_at < :now",
    metrics.OPEN_AMOUNT: """
        SELECT known.currency, trunc(coalesce(sum(p.units / power(10::numeric, i.exponent)), 0))::bigint
          FROM (SELECT DISTINCT currency FROM invoice) AS known
          LEFT JOIN invoice i ON i.currency = known.currency AND i.status = 'open'
          LEFT JOIN posting p ON p.invoice_id = i.id AND p.account = 'receivable'
         GROUP BY known.currency ORDER BY known.currency""",
    metrics.OVERDUE_AMOUNT: """
        SELECT known.currency, trunc(coalesce(sum(p.units / power(10::numeric, i.exponent)), 0))::bigint
          FROM (SELECT DISTINCT currency FROM invoice) AS known
          LEFT JOIN invoice i ON i.currency = known.currency AND i.status = 'open' AND i.due_at < :now
          LEFT JOIN posting p ON p.invoice_id = i.id AND p.account = 'receivable'
         GROUP BY known.currency ORDER BY known.currency""",
    metrics.ISSUED_AMOUNT: """
        SELECT currency, trunc(sum(total / power(10::numeric, exponent)))::bigint FROM invoice
         WHERE status <> 'void' AND issued_at > :now - interval '31 days' GROUP BY currency ORDER BY currency""",
    metrics.RECEIVED_AMOUNT: """
        SELECT p.currency, trunc(sum(p.value_units / power(10::numeric, known.exponent)))::bigint FROM payment p
          JOIN (SELECT DISTINCT currency, exponent FROM invoice UNION SELECT DISTINCT currency, exponent FROM deposit_document)
               AS known ON known.currency = p.currency
         WHERE p.disposition = 'matched' AND p.created_at > :now - interval '31 days'
         GROUP BY p.currency ORDER BY p.currency""",
    metrics.PREPAID: """
        SELECT s.state, count(p.tenant_id) FROM unnest(ARRAY['good', 'low', 'exhausted']) AS s (state)
          LEFT JOIN prepaid_level p ON p.state = s.state AND p.tenant_id IN (SELECT tenant_id FROM prepaid_term)
         GROUP BY s.state ORDER BY s.state""",
    metrics.EXCEPTION_AGE: """
        SELECT kind, extract(epoch FROM :now - min(created_at))::bigint FROM exception WHERE status = 'open'
         GROUP BY kind ORDER BY kind""",
    metrics.DELIVERIES_WAITING: """
        SELECT receiver, count(*) FILTER (WHERE state = 'waiting') FROM delivery
         WHERE state = 'waiting' OR done_at > :now - interval '7 days' GROUP BY receiver ORDER BY receiver""",
    metrics.DELIVERIES_DEAD: """
        SELECT receiver, count(*) FILTER (WHERE state = 'dead') FROM delivery
         WHERE state = 'waiting' OR done_at > :now - interval '7 days' GROUP BY receiver ORDER BY receiver""",
    metrics.DELIVERY_AGE: """
        SELECT d.receiver, extract(epoch FROM :now - min(n.created_at))::bigint FROM delivery d
          JOIN notice n ON n.id = d.notice_id WHERE d.state = 'waiting' GROUP BY d.receiver ORDER BY d.receiver""",
    metrics.AUDIT_AGE: "SELECT extract(epoch FROM :now - max(at))::bigint FROM trail WHERE action = 'audit' HAVING count(*) > 0",
    metrics.ROLE_EPOCH: "SELECT name, epoch FROM role ORDER BY name",
    metrics.DATABASE_BYTES: "SELECT pg_database_size(current_database())",
}


def gauges(session: Session, now: datetime) -> metrics.Values:
    """The state that is shown as metrics: the columns before the last one are labels."""
    return {
        gauge: [(tuple(map(str, row[:-1])), int(row[-1])) for row in session.execute(text(query), {"now": now})]
        for gauge, query in _GAUGES.items()
    }

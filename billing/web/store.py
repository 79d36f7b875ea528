"""Read-only queries of the pages and the API that no concern has, and the rows of answers to repeated writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.onchain import Hash32
from billing.core.period import Span
from billing.db.tables.invoicing import InvoiceRow
from billing.db.tables.roles import IdempotencyRow
from billing.db.tables.tenants import TenantRow
from billing.invoicing.document import InvoiceDocument
from billing.telemetry import metrics
from billing.telemetry.metrics import Gauge

FORGOTTEN_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer to an earlier request with the same key."""

    request_digest: str
    status: int
    body: str


def reserve(session: Session, actor: str, key: str, digest: str, now: datetime) -> KeptAnswer | None:
    """Take a key for this transaction; None when it is ours. Waits for another transaction that is using it."""
    row = IdempotencyRow(actor=actor, key=key, request_digest=digest, status=0, body="", created_at=now)
    added = insert(IdempotencyRow).values(row.model_dump()).on_conflict_do_nothing().returning(col(IdempotencyRow.key))
    if session.execute(added).first() is not None:
        return None
    found = session.exec(select(IdempotencyRow).where(IdempotencyRow.actor == actor, IdempotencyRow.key == key)).one()
    return KeptAnswer(found.request_digest, found.status, found.body)


def forget_answers(session: Session, before: datetime) -> None:
    """Some of the answers from before a time, if no other transaction uses them: each new one takes a few old ones away."""
    session.execute(
        text(
            "DELETE FROM idempotency_key WHERE (actor, key) IN (SELECT actor, key FROM idempotency_key"
            " WHERE created_at < :before ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"before": before, "most": FORGOTTEN_AT_ONCE},
    )


def keep_answer(session: Session, actor: str, key: str, status: int, body: str) -> None:
    row = session.exec(select(IdempotencyRow).where(IdempotencyRow.actor == actor, IdempotencyRow.key == key)).one()
    row.status, row.body = status, body
    session.add(row)


def tenant_id(session: Session, slug: str) -> int:
    """Raises NotFound."""
    found = session.exec(select(TenantRow.id).where(TenantRow.slug == slug)).first()
    if found is None:
        raise NotFound(f"there is no tenant {slug}")
    return found


def tolerance(session: Session, tenant: int) -> int:
    """The rest that is not asked for, in the currency's smallest unit."""
    return session.get_one(TenantRow, tenant).tolerance_units


_TENANTS = """
    SELECT t.id, t.slug, t.name, t.legal_name, t.country, t.email, t.attribution, r.slug AS reseller, t.terms_days,
           t.tolerance_units::text AS tolerance_units, t.created_at, t.address, t.tax_id, t.purchase_order,
           coalesce((SELECT array_agg(CASE c.source WHEN '' THEN c.label ELSE c.source || ':' || c.label END
                     ORDER BY c.label, c.source) FROM tenant_claim c WHERE c.tenant_id = t.id), '{}') AS labels
      FROM tenant t LEFT JOIN tenant r ON r.id = t.reseller_id"""


def tenants(session: Session, *, slug: str | None = None, after_id: int = 0, limit: int = 1) -> list[dict[str, Any]]:
    """Tenants with their labels, by age."""
    where = "t.slug = :slug" if slug is not None else "t.id > :after"
    values = {"slug": slug, "after": after_id, "limit": limit}
    return _rows(session, f"{_TENANTS} WHERE {where} ORDER BY t.id LIMIT :limit", values)


def leases(
    session: Session, *, tenant: int | None, reference: str | None = None, after_id: int = 0, limit: int = 1
) -> list[dict[str, Any]]:
    """Leases by age, one row for all GPUs that were let together."""
    return _rows(
        session,
        "SELECT min(l.id) AS id, l.reference, t.slug AS tenant, lower(l.during) AS start, upper(l.during) AS until,"
        " min(l.created_at) AS created_at, json_agg(json_build_object('uuid', g.uuid, 'host', g.host, 'model', g.model)"
        " ORDER BY g.id) AS gpus"
        " FROM lease l JOIN tenant t ON t.id = l.tenant_id JOIN gpu g ON g.id = l.gpu_id"
        " WHERE l.cancelled_at IS NULL AND (CAST(:tenant AS bigint) IS NULL OR l.tenant_id = :tenant)"
        " AND (CAST(:reference AS text) IS NULL OR l.reference = :reference)"
        " GROUP BY l.reference, t.slug, l.during HAVING min(l.id) > :after ORDER BY 1 LIMIT :limit",
        {"tenant": tenant, "reference": reference, "after": after_id, "limit": limit},
    )


def devices(
    session: Session, *, host: str | None, source: str | None, after_id: int, limit: int
) -> list[dict[str, Any]]:
    """The inventory, by age."""
    return _rows(
        session,
        "SELECT d.id, g.uuid, d.gpu_i_id, d.profile, g.model, g.host, g.source, lower(g.in_service) AS start,"
        " upper(g.in_service) AS until, greatest(d.last_seen_at, CASE d.profile WHEN '' THEN g.last_seen_at END) AS seen_at"
        " FROM device d JOIN gpu g ON g.id = d.gpu_id"
        " WHERE d.id > :after AND (CAST(:host AS text) IS NULL OR g.host = :host)"
        " AND (CAST(:source AS text) IS NULL OR g.source = :source) ORDER BY d.id LIMIT :limit",
        {"host": host, "source": source, "after": after_id, "limit": limit},
    )


_USAGE = """
    WITH span AS (SELECT tstzrange(:start, :end) AS r),
    used AS (
      SELECT u.id, u.device_id, u.basis, u.bridged, l.reference AS lease, g.uuid, d.gpu_i_id, d.profile, g.model, g.host,
             lower(u.during * span.r) AS start, upper(u.during * span.r) AS until,
             extract(epoch FROM upper(u.during * span.r) - lower(u.during * span.r))::bigint AS seconds,
             (SELECT s.code FROM sku s WHERE g.model = ANY(s.models) AND s.profile = d.profile
               ORDER BY EXISTS (SELECT 1 FROM price p WHERE p.sku = s.code AND p.superseded_at IS NULL
                                   AND p.during && u.during) DESC, s.code LIMIT 1) AS sku
        FROM span, usage u JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id
        LEFT JOIN lease l ON l.id = u.lease_id
       WHERE u.superseded_at IS NULL AND u.tenant_id = :tenant AND u.during && span.r)"""


def usage_intervals(session: Session, tenant: int, span: Span, after_id: int, limit: int) -> list[dict[str, Any]]:
    """A tenant's billable intervals within a span, clipped to it, by the age of their rows."""
    return _rows(
        session,
        f"{_USAGE} SELECT * FROM used WHERE id > :after ORDER BY id LIMIT :limit",  # noqa: S608 (constants only)
        {"tenant": tenant, "start": span.start, "end": span.end, "after": after_id, "limit": limit},
    )


def usage_by_device(session: Session, tenant: int, span: Span, after_id: int, limit: int) -> list[dict[str, Any]]:
    """A tenant's billable seconds within a span, by device."""
    return _rows(
        session,
        f"{_USAGE} SELECT device_id AS id, uuid, gpu_i_id, profile, model, host, sku,"  # noqa: S608
        " sum(seconds)::bigint AS seconds"
        " FROM used WHERE device_id > :after GROUP BY device_id, uuid, gpu_i_id, profile, model, host, sku"
        " ORDER BY device_id LIMIT :limit",
        {"tenant": tenant, "start": span.start, "end": span.end, "after": after_id, "limit": limit},
    )


def usage_by_sku(session: Session, tenant: int, span: Span) -> list[tuple[str | None, int]]:
    """(SKU, seconds); the SKU is None for what no SKU lists."""
    rows = _rows(
        session,
        f"{_USAGE} SELECT sku, sum(seconds)::bigint AS seconds FROM used GROUP BY sku ORDER BY sku",  # noqa: S608
        {"tenant": tenant, "start": span.start, "end": span.end},
    )
    return [(row["sku"], row["seconds"]) for row in rows]


def documents(session: Session, invoice_ids: Sequence[int]) -> dict[int, InvoiceDocument]:
    """The documents of invoices. They were checked when they were stored; their bytes are not compared again."""
    rows = session.exec(select(col(InvoiceRow.id), InvoiceRow.document).where(col(InvoiceRow.id).in_(invoice_ids)))
    return {
        row_id: InvoiceDocument.model_validate_json(bytes(content)) for row_id, content in rows if row_id is not None
    }


def document(session: Session, number: str) -> tuple[int, bytes, Hash32]:
    """(tenant id, the stored bytes unchanged, their digest). Raises NotFound."""
    row = session.exec(
        select(InvoiceRow.tenant_id, InvoiceRow.document, InvoiceRow.digest).where(InvoiceRow.number == number)
    ).first()
    if row is None:
        raise NotFound(f"there is no invoice {number}")
    return row[0], bytes(row[1]), Hash32(row[2])


def replacement(session: Session, invoice_id: int) -> tuple[str, str] | None:
    """(number, pay token) of the invoice that replaces a void one."""
    row = session.exec(
        select(InvoiceRow.number, InvoiceRow.pay_token).where(InvoiceRow.replaces_id == invoice_id)
    ).first()
    return None if row is None else (row[0], row[1])


def schema(session: Session) -> str | None:
    """The schema version that the database has."""
    if session.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    found: str | None = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def database_time(session: Session) -> datetime:
    """The database's clock, as it is now."""
    found: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found


_GAUGES: Final[dict[Gauge, str]] = {
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
}


def gauges(session: Session, now: datetime) -> metrics.Values:
    """The state that is shown as metrics: the columns before the last one are labels."""
    return {
        gauge: [(tuple(map(str, row[:-1])), int(row[-1])) for row in session.execute(text(query), {"now": now})]
        for gauge, query in _GAUGES.items()
    }


def stopped_chains(session: Session) -> list[str]:
    """Names of the chains that wait for a person."""
    return [row["name"] for row in _rows(session, "SELECT name FROM chain_state WHERE stopped <> '' ORDER BY name", {})]


def _rows(session: Session, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(text(sql), values)]

"""Read-only queries of the pages and the API that no concern has, and the rows of answers to repeated writes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
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


def roles(session: Session) -> list[dict[str, Any]]:
    """Who does which kind of work."""
    return _rows(session, "SELECT name AS role, holder, taken_at AS since, epoch FROM role ORDER BY name", {})


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


def usage_by_day(session: Session, payer: int, span: Span) -> dict[date, int]:
    """{day in UTC: billable seconds} of a payer and of those for whom it pays, as known today."""
    rows = session.execute(
        text(
            "SELECT day::date, sum(extract(epoch FROM least(upper(u.during), day + interval '1 day', :end)"
            "  - greatest(lower(u.during), day, :start)))::bigint AS seconds"
            " FROM usage u CROSS JOIN LATERAL generate_series(date_trunc('day', greatest(lower(u.during), :start)),"
            "  least(upper(u.during), :end) - interval '1 microsecond', interval '1 day') AS day"
            " WHERE u.superseded_at IS NULL AND u.during && tstzrange(:start, :end)"
            " AND u.tenant_id IN (SELECT id FROM tenant WHERE id = :payer OR reseller_id = :payer)"
            " GROUP BY day"
        ),
        {"payer": payer, "start": span.start, "end": span.end},
    )
    return {row[0]: row[1] for row in rows}


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


def pay_marks(session: Session, tokens: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """{pay token: what is another value whenever a payment of the invoice came, moved or was dealt with}. Cheap: no document is
    read, nothing is summed."""
    rows = session.execute(
        text(
            "SELECT i.pay_token, i.id, i.status, i.status_at,"
            " (SELECT count(*) FROM credit_note n WHERE n.invoice_id = i.id) AS notes, came.*"
            " FROM invoice i LEFT JOIN payment_address a ON a.invoice_id = i.id"
            " LEFT JOIN LATERAL (SELECT count(*), max(t.state_at), max(p.updated_at),"
            "  md5(string_agg(t.state || coalesce(p.disposition, ''), ',' ORDER BY t.id)),"
            "  max(c.cursor_number) FILTER (WHERE t.state IN ('seen', 'confirmed'))"
            "  FROM transfer t LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation"
            "  LEFT JOIN chain_state c ON c.chain_id = t.chain_id WHERE t.to_address = a.address) came ON true"
            " WHERE i.pay_token = ANY(:tokens)"
        ),
        {"tokens": list(tokens)},
    )
    return {row[0]: tuple(row[1:]) for row in rows}


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


def stopped_chains(session: Session) -> list[str]:
    """Names of the chains that wait for a person."""
    return [row["name"] for row in _rows(session, "SELECT name FROM chain_state WHERE stopped <> '' ORDER BY name", {})]


def _rows(session: Session, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(text(sql), values)]

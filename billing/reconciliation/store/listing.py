"""Transfers with what was done with them, as people list them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

_PAYMENTS = """
    SELECT t.id, i.number AS invoice, d.number AS deposit, coalesce(n.slug, m.slug) AS tenant, t.chain_id, t.token_address, t.units,
           t.from_address, t.to_address, t.tx_hash, t.log_index, t.block_number, t.block_hash, t.mined_at,
           t.state AS status, coalesce(p.disposition, 'unmatched') AS disposition, t.incarnation,
           coalesce(p.reason, '') AS reason, coalesce(p.kind, '') AS kind, coalesce(p.late, false) AS late,
           coalesce(p.currency, '') AS currency, coalesce(p.value_units, 0) AS value_units,
           coalesce(p.applied_units, 0) AS applied_units, coalesce(p.credited_units, 0) AS credited_units,
           coalesce(p.written_off_units, 0) AS written_off_units, p.rate, coalesce(p.rate_source, '') AS rate_source, p.rate_at,
           c.cursor_number, i.id AS invoice_id, coalesce(i.exponent, d.exponent) AS exponent
      FROM transfer t
      LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      LEFT JOIN payment_address a ON a.address = t.to_address
      LEFT JOIN invoice i ON i.id = a.invoice_id
      LEFT JOIN deposit_document d ON d.id = a.deposit_id
      LEFT JOIN tenant n ON n.id = coalesce(i.tenant_id, d.tenant_id)
      LEFT JOIN tenant m ON m.id = p.tenant_id
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id"""


def payments(
    session: Session,
    *,
    invoice_ids: Sequence[int] | None = None,
    tenant_id: int | None = None,
    incoming_only: bool = True,
    after_id: int = 0,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Transfers with what was done with them, by age. `incoming_only` leaves out flushes and the treasury's own."""
    where, values = ["t.id > :after"], {"after": after_id, "limit": limit}
    if incoming_only:
        where.append("a.kind IS DISTINCT FROM 'treasury' AND a.id IS NOT NULL")
    if invoice_ids is not None:
        where.append("i.id = ANY(:invoices)")
        values["invoices"] = list(invoice_ids)  # type: ignore[assignment]
    if tenant_id is not None:
        where.append("coalesce(i.tenant_id, d.tenant_id, p.tenant_id) = :tenant")
        values["tenant"] = tenant_id
    sql = f"{_PAYMENTS} WHERE {' AND '.join(where)} ORDER BY t.id LIMIT :limit"
    return _read(session, sql, values)


def newest(session: Session, tenant_id: int, *, before_id: int, limit: int) -> list[dict[str, Any]]:
    """What came in for a tenant, the newest first, from before a row on (0: from the newest)."""
    sql = (
        f"{_PAYMENTS} WHERE (t.id < :before OR :before = 0) AND a.kind IS DISTINCT FROM 'treasury' AND a.id IS NOT NULL"
        " AND coalesce(i.tenant_id, d.tenant_id, p.tenant_id) = :tenant ORDER BY t.id DESC LIMIT :limit"
    )
    return _read(session, sql, {"before": before_id, "tenant": tenant_id, "limit": limit})


def _read(session: Session, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for row in session.execute(text(sql), values):
        one = dict(row._mapping)
        for name in ("units", "value_units", "applied_units", "credited_units", "written_off_units"):
            one[name] = int(one[name])
        cursor, number = one.pop("cursor_number"), one["block_number"]
        standing = one["status"] != "orphaned" and cursor is not None
        one["confirmations"] = max(0, cursor - number + 1) if standing else 0
        found.append(one)
    return found

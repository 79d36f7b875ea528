"""What the finance desk's pages read: lists of invoices, money that came in, entries, and what a line was made of."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invoices to list; what is None does not filter. `due_from` and `due_until` are days, both part of it; amounts are in
    the currency's smallest unit."""

    status: str | None = None
    tenant: str | None = None
    period: Span | None = None
    order: str | None = None
    least: int | None = None
    most: int | None = None
    due_from: date | None = None
    due_until: date | None = None
    owed: bool = False
    """Only those on which something is owed by the books."""
    before_id: int | None = None
    limit: int = 50


_INVOICES: Final = {
    "status": "i.status = :status",
    "tenant": "t.slug = :tenant",
    "order": "i.purchase_order = :order",
    "least": "i.total >= :least",
    "most": "i.total <= :most",
    "due_from": "(i.due_at AT TIME ZONE 'UTC')::date >= :due_from",
    "due_until": "(i.due_at AT TIME ZONE 'UTC')::date <= :due_until",
    "before_id": "i.id < :before_id",
}


def invoice_ids(session: Session, only: Wanted) -> list[int]:
    """The newest first."""
    given = {one.name: getattr(only, one.name) for one in fields(only)}
    where = [part for name, part in _INVOICES.items() if given[name] is not None]
    values = {name: given[name] for name in (*_INVOICES, "limit") if given[name] is not None}
    if only.period is not None:
        where.append("i.period && tstzrange(:start, :end)")
        values |= {"start": only.period.start, "end": only.period.end}
    if only.owed:
        where.append("(SELECT sum(p.units) FROM posting p WHERE p.invoice_id = i.id AND p.account = 'receivable') <> 0")
    sql = "SELECT i.id FROM invoice i JOIN tenant t ON t.id = i.tenant_id"
    sql += f" WHERE {' AND '.join(where) or 'true'} ORDER BY i.id DESC LIMIT :limit"
    return [row.id for row in session.execute(text(sql), values)]


def questions(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Open exceptions by kind: how many, and the oldest."""
    return _rows(
        session,
        "SELECT kind, count(*) AS count, min(created_at) AS oldest,"
        " greatest(0, floor(extract(epoch FROM :now - min(created_at)) / 86400))::int AS days"
        " FROM exception WHERE status = 'open' GROUP BY kind ORDER BY oldest, kind",
        {"now": now},
    )


_RECEIVED: Final = """
      FROM transfer t JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      JOIN payment_address a ON a.address = t.to_address
      LEFT JOIN invoice i ON i.id = a.invoice_id LEFT JOIN deposit_document d ON d.id = a.deposit_id
      LEFT JOIN tenant n ON n.id = coalesce(p.tenant_id, i.tenant_id, d.tenant_id)
     WHERE t.mined_at >= :start AND t.mined_at < :end AND t.state <> 'orphaned' AND p.disposition <> 'booked'
       AND a.kind <> 'treasury'"""


def received_sums(session: Session, period: Span) -> list[tuple[str, int]]:
    """(currency, what came in during a period and was valued)."""
    sql = f"SELECT p.currency, sum(p.value_units) AS units {_RECEIVED} AND p.currency <> '' GROUP BY 1 ORDER BY 1"
    return [(row["currency"], int(row["units"])) for row in _rows(session, sql, _span(period))]


def received(session: Session, period: Span, after_id: int, limit: int) -> list[dict[str, Any]]:
    """What came in during a period, by age."""
    sql = (
        "SELECT t.id, t.tx_hash, t.chain_id, t.token_address, t.units, t.mined_at, t.state, p.disposition, p.kind, p.currency,"
        f" p.value_units, i.number AS invoice, d.number AS deposit, n.slug AS tenant {_RECEIVED}"
        " AND t.id > :after ORDER BY t.id LIMIT :limit"
    )
    return _rows(session, sql, {**_span(period), "after": after_id, "limit": limit})


def transfer(session: Session, transfer_id: int) -> dict[str, Any] | None:
    """One transfer with what was done with it."""
    found = _rows(
        session,
        "SELECT t.id, t.chain_id, t.token_address, t.units, t.from_address, t.to_address, t.tx_hash, t.log_index, t.block_number,"
        " t.block_hash, t.mined_at, t.state, t.incarnation, p.disposition, p.kind, p.late, p.currency, p.value_units,"
        " p.applied_units, p.credited_units, p.written_off_units, p.rate, p.rate_source, p.reason, i.number AS invoice,"
        " d.number AS deposit, coalesce(n.slug, m.slug) AS tenant"
        " FROM transfer t LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation"
        " LEFT JOIN payment_address a ON a.address = t.to_address LEFT JOIN invoice i ON i.id = a.invoice_id"
        " LEFT JOIN deposit_document d ON d.id = a.deposit_id"
        " LEFT JOIN tenant n ON n.id = p.tenant_id LEFT JOIN tenant m ON m.id = coalesce(i.tenant_id, d.tenant_id)"
        " WHERE t.id = :id",
        {"id": transfer_id},
    )
    return found[0] if found else None


def paid_on(session: Session, invoice_id: int) -> list[dict[str, Any]]:
    """Transfers that paid an invoice: to its address, or applied to it by a person. `applied` is in the invoice's currency."""
    return _rows(
        session,
        "SELECT t.id, t.tx_hash, t.chain_id, t.token_address, t.units, t.mined_at, t.state, x.kind, x.value, x.applied"
        " FROM (SELECT transfer_id, incarnation, kind, value_units AS value, applied_units AS applied FROM payment"
        "        WHERE invoice_id = :invoice"
        "       UNION ALL SELECT p.transfer_id, p.incarnation, 'assigned', s.units, s.applied_units"
        "        FROM assignment s JOIN payment p ON p.id = s.payment_id WHERE s.invoice_id = :invoice AND s.ended_at IS NULL) AS x"
        " JOIN transfer t ON t.id = x.transfer_id AND t.incarnation = x.incarnation ORDER BY t.id",
        {"invoice": invoice_id},
    )


def charges(session: Session, invoice_id: int, position: int | None = None) -> list[dict[str, Any]]:
    """What an invoice charged, by line and device; what a void took back is a row of its own."""
    return _rows(
        session,
        "SELECT c.id, c.position, g.uuid, d.gpu_i_id, d.profile, g.host, lower(c.during) AS start, upper(c.during) AS until,"
        " c.seconds, c.quantity, c.amount, c.kind, n.slug AS tenant"
        " FROM charge c JOIN tenant n ON n.id = c.tenant_id LEFT JOIN device d ON d.id = c.device_id"
        " LEFT JOIN gpu g ON g.id = d.gpu_id WHERE c.invoice_id = :invoice"
        " AND (CAST(:position AS int) IS NULL OR c.position = :position) ORDER BY c.position, g.uuid, c.id LIMIT 500",
        {"invoice": invoice_id, "position": position},
    )


def intervals(session: Session, invoice_id: int, position: int, after_id: int, limit: int) -> list[dict[str, Any]]:
    """The usage, as it is known now, of the devices and times that a line charged."""
    return _rows(
        session,
        "SELECT u.id, n.slug AS tenant, g.uuid, d.gpu_i_id, d.profile, g.host, u.basis, u.bridged, l.reference AS lease,"
        " min(greatest(lower(u.during), lower(c.during))) AS start, max(least(upper(u.during), upper(c.during))) AS until,"
        " extract(epoch FROM max(least(upper(u.during), upper(c.during)))"
        "  - min(greatest(lower(u.during), lower(c.during))))::bigint AS seconds"
        " FROM charge c JOIN usage u ON u.device_id = c.device_id AND u.tenant_id = c.tenant_id AND u.during && c.during"
        "  AND u.superseded_at IS NULL"
        " JOIN tenant n ON n.id = u.tenant_id JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id"
        " LEFT JOIN lease l ON l.id = u.lease_id"
        " WHERE c.invoice_id = :invoice AND c.position = :position AND c.kind = 'usage' AND u.id > :after"
        " GROUP BY u.id, n.slug, g.uuid, d.gpu_i_id, d.profile, g.host, l.reference ORDER BY u.id LIMIT :limit",
        {"invoice": invoice_id, "position": position, "after": after_id, "limit": limit},
    )


def notices_about(session: Session, subject: str) -> list[dict[str, Any]]:
    """Notices of a subject, and how far each receiver was told."""
    return _rows(
        session,
        "SELECT n.type, n.created_at, d.receiver, d.state, d.attempts, d.answer, d.done_at FROM notice n"
        " LEFT JOIN delivery d ON d.notice_id = n.id WHERE n.subject = :subject ORDER BY n.id, d.id LIMIT 200",
        {"subject": subject},
    )


@dataclass(frozen=True, slots=True)
class Booked:
    """Which postings to list; what is None does not filter."""

    entry: int | None = None
    account: str | None = None
    invoice_id: int | None = None
    transfer_id: int | None = None
    first: date | None = None
    end: date | None = None
    after_id: int = 0
    limit: int = 500


_BOOKED: Final = {
    "entry": "e.id = :entry",
    "account": "p.account = :account",
    "invoice_id": "coalesce(p.invoice_id, e.invoice_id) = :invoice_id",
    "transfer_id": "e.transfer_id = :transfer_id",
    "first": "e.booked_on >= :first",
    "end": "e.booked_on < :end",
}


def postings(session: Session, only: Booked) -> list[dict[str, Any]]:
    """Postings with their entries, in order."""
    given = {one.name: getattr(only, one.name) for one in fields(only)}
    where = ["p.id > :after_id", *(part for name, part in _BOOKED.items() if given[name] is not None)]
    values = {name: value for name, value in given.items() if value is not None}
    sql = (
        "SELECT p.id, e.id AS entry, e.booked_on, e.happened_at, e.kind, e.memo, e.reverses_id AS reverses, p.account, p.asset,"
        " p.units, n.slug AS tenant, i.number AS invoice, t.id AS transfer, t.tx_hash"
        " FROM entry e JOIN posting p ON p.entry_id = e.id LEFT JOIN tenant n ON n.id = p.tenant_id"
        " LEFT JOIN invoice i ON i.id = coalesce(p.invoice_id, e.invoice_id) LEFT JOIN transfer t ON t.id = e.transfer_id"
    )
    return _rows(session, f"{sql} WHERE {' AND '.join(where)} ORDER BY p.id LIMIT :limit", values)


def days(session: Session, period: Span) -> list[dict[str, Any]]:
    """Days of a period on which something was booked, with how many entries."""
    return _rows(
        session,
        "SELECT booked_on, count(*) AS count FROM entry WHERE booked_on >= :first AND booked_on < :last GROUP BY 1 ORDER BY 1",
        {"first": period.start.date(), "last": period.end.date()},
    )


def _span(period: Span) -> dict[str, Any]:
    return {"start": period.start, "end": period.end}


def _rows(session: Session, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(text(sql), values)]

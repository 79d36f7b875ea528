"""The queries behind the checks: each returns only what is wrong."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.onchain import Hash32
from billing.db.tables.invoicing import CreditNoteRow, InvoiceRow
from billing.db.tables.metering import ReadingRow
from billing.db.tables.wallets import PaymentAddressRow

QUERIES: dict[str, str] = {
    "every asset balances": """
        SELECT asset AS subject, sum(units)::text || ' units too many' AS detail FROM posting
         GROUP BY asset HAVING sum(units) <> 0""",
    "every entry balances": """
        SELECT 'entry ' || entry_id AS subject, asset || ' is off by ' || sum(units) AS detail FROM posting
         GROUP BY entry_id, asset HAVING sum(units) <> 0""",
    "lines add up to the invoice": """
        SELECT i.number AS subject, 'lines sum to ' || coalesce(sum(l.amount), 0) || ' and tax is ' || i.tax || ', total is '
               || i.total AS detail
          FROM invoice i LEFT JOIN invoice_line l ON l.invoice_id = i.id
         GROUP BY i.id HAVING coalesce(sum(l.amount), 0) + i.tax <> i.total""",
    "credit notes take off no more than there was": """
        SELECT i.number || ' line ' || l.position AS subject, sum(n.amount) || ' of ' || l.amount || ' was credited' AS detail
          FROM credit_note_line n JOIN invoice i ON i.id = n.invoice_id
          LEFT JOIN invoice_line l ON l.invoice_id = n.invoice_id AND l.position = n.position
         GROUP BY i.id, l.id HAVING sum(n.amount) > coalesce(l.amount, 0)
        UNION ALL
        SELECT i.number, sum(n.total) || ' with ' || sum(n.tax) || ' tax of ' || i.total || ' was credited'
          FROM credit_note n JOIN invoice i ON i.id = n.invoice_id
         GROUP BY i.id HAVING sum(n.total) > i.total OR sum(n.tax) > i.tax OR (count(*) > 1 AND bool_or(n.kind = 'void'))
        UNION ALL
        SELECT n.number, 'its lines sum to ' || coalesce(sum(l.amount), 0) || ' and tax is ' || n.tax || ', total is ' || n.total
          FROM credit_note n LEFT JOIN credit_note_line l ON l.credit_note_id = n.id
         WHERE n.kind = 'partial' GROUP BY n.id HAVING coalesce(sum(l.amount), 0) + n.tax <> n.total""",
    "charges add up to their line": """
        SELECT i.number || ' line ' || l.position AS subject,
               'charges sum to ' || coalesce(c.amount, 0) || ' for ' || coalesce(c.seconds, 0) || ' s and '
               || coalesce(c.quantity, 0) || ' ' || coalesce(l.unit, 'units') AS detail
          FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id
          LEFT JOIN (SELECT invoice_id, position, sum(amount) AS amount, sum(seconds) AS seconds,
                            sum(quantity) AS quantity, min(meter) AS meter FROM charge
                      WHERE kind = 'usage' GROUP BY invoice_id, position) c
            ON c.invoice_id = l.invoice_id AND c.position = l.position
         WHERE coalesce(c.amount, 0) <> l.amount OR coalesce(c.seconds, 0) <> l.quantity_seconds
            OR c.quantity IS DISTINCT FROM l.quantity OR c.meter IS DISTINCT FROM l.meter""",
    "an invoice's status is what the ledger says": """
        SELECT i.number AS subject, i.status || ' with ' || coalesce(p.owed, 0) || ' owed' AS detail
          FROM invoice i LEFT JOIN (SELECT invoice_id, sum(units) AS owed FROM posting
                                     WHERE account = 'receivable' GROUP BY invoice_id) p ON p.invoice_id = i.id
         WHERE CASE i.status WHEN 'open' THEN coalesce(p.owed, 0) <= 0
                             WHEN 'uncollectible' THEN coalesce(p.owed, 0) <= 0
                             WHEN 'paid' THEN coalesce(p.owed, 0) > 0
                             ELSE coalesce(p.owed, 0) <> 0 END""",
    "numbers have no gap": """
        SELECT s.name AS subject, 'next is ' || s.next || ', but ' || count(n.number) || ' numbers were given' AS detail
          FROM number_series s
          LEFT JOIN (SELECT series, number FROM invoice
                     UNION ALL SELECT regexp_replace(number, '-[0-9]+$', ''), number FROM credit_note) n ON n.series = s.name
         GROUP BY s.name, s.next HAVING count(n.number) <> s.next - 1""",
    "tenants' credit is what the ledger says": """
        WITH held AS (
          SELECT c.tenant_id, c.currency, sum(c.units) FILTER (WHERE c.reversed_at IS NULL) AS granted,
                 sum((SELECT coalesce(sum(u.units), 0) FROM credit_use u WHERE u.credit_id = c.id))
                   FILTER (WHERE c.reversed_at IS NULL) AS used
            FROM tenant_credit c GROUP BY c.tenant_id, c.currency),
        booked AS (
          SELECT tenant_id, asset AS currency, -sum(units) AS units FROM posting
           WHERE account IN ('tenant_credit', 'tenant_prepaid') GROUP BY tenant_id, asset)
        SELECT t.slug AS subject, 'holds ' || (coalesce(h.granted, 0) - coalesce(h.used, 0)) || ' ' ||
               coalesce(h.currency, b.currency) || ', the ledger says ' || coalesce(b.units, 0) AS detail
          FROM held h FULL JOIN booked b ON b.tenant_id = h.tenant_id AND b.currency = h.currency
          JOIN tenant t ON t.id = coalesce(h.tenant_id, b.tenant_id)
         WHERE coalesce(h.granted, 0) - coalesce(h.used, 0) <> coalesce(b.units, 0)""",
    "every standing transfer is booked once": """
        SELECT 'transfer ' || t.id AS subject, t.state || ' with ' || count(e.id) || ' entries that stand' AS detail
          FROM transfer t
          LEFT JOIN entry e ON e.transfer_id = t.id AND e.reverses_id IS NULL
               AND NOT EXISTS (SELECT 1 FROM entry r WHERE r.reverses_id = e.id)
         WHERE t.settled
           AND NOT (EXISTS (SELECT 1 FROM payment_address WHERE kind = 'treasury' AND address = t.from_address)
                    AND EXISTS (SELECT 1 FROM payment_address WHERE kind = 'treasury' AND address = t.to_address))
         GROUP BY t.id
        HAVING CASE WHEN t.state IN ('confirmed', 'final')
                    THEN count(e.id) FILTER (WHERE e.incarnation = t.incarnation) = 0
                      OR count(e.id) FILTER (WHERE e.incarnation <> t.incarnation) > 0
                    ELSE count(e.id) > 0 END""",
    "one payment stands for every settled transfer": """
        SELECT 'transfer ' || t.id AS subject, t.state || ' with ' || count(p.id) || ' payments that stand' AS detail
          FROM transfer t LEFT JOIN payment p ON p.transfer_id = t.id AND p.disposition <> 'reversed'
         WHERE t.settled AND t.state <> 'seen' GROUP BY t.id
        HAVING count(p.id) <> CASE t.state WHEN 'orphaned' THEN 0 ELSE 1 END""",
    "what is owed is due less what was applied": """
        SELECT i.number AS subject, coalesce(r.owed, 0) || ' owed, ' ||
               greatest(0, i.amount_due - coalesce(n.noted, 0)) || ' due, ' ||
               coalesce(p.applied, 0) || ' applied and written off' AS detail
          FROM invoice i
          LEFT JOIN (SELECT invoice_id, sum(units) AS owed FROM posting WHERE account = 'receivable'
                      GROUP BY invoice_id) r ON r.invoice_id = i.id
          LEFT JOIN (SELECT invoice_id, sum(applied_units + written_off_units) AS applied FROM payment
                      WHERE disposition <> 'reversed' GROUP BY invoice_id) p ON p.invoice_id = i.id
          LEFT JOIN (SELECT invoice_id, sum(total) AS noted FROM credit_note WHERE kind = 'partial'
                      GROUP BY invoice_id) n ON n.invoice_id = i.id
         WHERE CASE i.status WHEN 'void' THEN coalesce(p.applied, 0) <> 0
                             ELSE coalesce(r.owed, 0) <>
                                  greatest(0, i.amount_due - coalesce(n.noted, 0)) - coalesce(p.applied, 0) END""",
    "what is final was found on the chain again": """
        SELECT 'transfer ' || d.transfer_id AS subject, d.why AS detail FROM chain_doubt d
          JOIN transfer t ON t.id = d.transfer_id AND t.state <> 'orphaned' WHERE d.cleared_at IS NULL LIMIT 100""",
    "no two payers for one slot at one moment": """
        SELECT 'usage ' || a.id AS subject, 'overlaps usage ' || b.id AS detail
          FROM usage a JOIN usage b ON b.id > a.id AND a.seat && b.seat AND a.during && b.during
         WHERE a.superseded_at IS NULL AND b.superseded_at IS NULL LIMIT 100""",
}


def wrong(session: Session, query: str) -> list[tuple[str, str]]:
    """(subject, detail) of each row that a check's query finds."""
    return [(row.subject, row.detail) for row in session.execute(text(query))]


def issued_documents(session: Session) -> list[tuple[str, bytes, Hash32]]:
    """(number, bytes, stored digest) of every document."""
    invoices = session.exec(select(InvoiceRow.number, InvoiceRow.document, InvoiceRow.digest)).all()
    notes = session.exec(select(CreditNoteRow.number, CreditNoteRow.document, CreditNoteRow.digest)).all()
    return [(number, bytes(content), Hash32(digest)) for number, content, digest in (*invoices, *notes)]


def invoice_addresses(session: Session) -> dict[str, str]:
    """{invoice number: its stored payment address}."""
    rows = session.exec(
        select(InvoiceRow.number, PaymentAddressRow.address).join(
            PaymentAddressRow, col(PaymentAddressRow.invoice_id) == InvoiceRow.id
        )
    )
    return dict(rows.all())


def read_span(session: Session) -> tuple[datetime, datetime] | None:
    """From the first to the last window that was ever read."""
    row = session.execute(
        text("SELECT min(lower(during)) AS first, max(upper(during)) AS last FROM reading WHERE superseded_at IS NULL")
    ).one()
    return None if row.first is None else (row.first, row.last)


def readings_that_differ(session: Session) -> int:
    """How many windows of any source were ever superseded: late data, shown for information."""
    return len(session.exec(select(ReadingRow.id).where(col(ReadingRow.superseded_at).is_not(None))).all())


def posted(session: Session, prefix: str, up_to: tuple[int, int]) -> dict[str, int]:
    """{account: units} of the accounts of a chain, counting what happened on chain up to a block: `up_to` is
    (chain id, block number)."""
    rows: Any = session.execute(
        text(
            "SELECT p.account, sum(p.units) AS units FROM posting p JOIN entry e ON e.id = p.entry_id"
            " LEFT JOIN transfer t ON t.id = e.transfer_id"
            " WHERE p.account LIKE :prefix AND (t.id IS NULL OR t.block_number <= :number) GROUP BY p.account"
        ),
        {"prefix": f"{prefix}:{up_to[0]}:%", "number": up_to[1]},
    )
    return {row.account: int(row.units) for row in rows}


def opened(session: Session, place: str) -> bool:
    """Was this treasury's opening balance looked at before?"""
    found = session.execute(
        text("SELECT count(*) FROM trail WHERE action = 'treasury.opening' AND subject = :place"), {"place": place}
    )
    return bool(found.scalar_one())

"""The queries behind the checks: each returns only what is wrong."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.onchain import Hash32
from billing.core.period import Span, parse_month
from billing.db.tables.closing import BookCloseRow
from billing.db.tables.invoicing import CreditNoteRow, InvoiceRow
from billing.db.tables.prepaid import DepositDocumentRow
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
                             WHEN 'uncollectible' THEN coalesce(p.owed, 0) <> 0
                             WHEN 'paid' THEN coalesce(p.owed, 0) > 0
                             ELSE coalesce(p.owed, 0) <> 0 END""",
    "numbers have no gap": """
        SELECT s.name AS subject, 'next is ' || s.next || ', but ' || count(n.number) || ' numbers were given' AS detail
          FROM number_series s
          LEFT JOIN (SELECT series, number FROM invoice
                     UNION ALL SELECT series, number FROM deposit_document
                     UNION ALL SELECT regexp_replace(number, '-[0-9]+$', ''), number FROM credit_note) n ON n.series = s.name
         GROUP BY s.name, s.next HAVING count(n.number) <> s.next - 1""",
    "tenants' credit is what the ledger says": """
        WITH one AS (
          SELECT tenant_id, currency, CASE kind WHEN 'prepaid' THEN 'tenant_prepaid' ELSE 'tenant_credit' END AS account,
                 units - (SELECT coalesce(sum(u.units), 0) FROM credit_use u WHERE u.credit_id = c.id) AS units
            FROM tenant_credit c WHERE reversed_at IS NULL),
        held AS (SELECT tenant_id, currency, account, sum(units) AS units FROM one GROUP BY tenant_id, currency, account),
        booked AS (
          SELECT tenant_id, asset AS currency, account, -sum(units) AS units FROM posting
           WHERE account IN ('tenant_credit', 'tenant_prepaid') GROUP BY tenant_id, asset, account)
        SELECT t.slug AS subject, 'holds ' || coalesce(h.units, 0) || ' ' || coalesce(h.currency, b.currency) ||
               CASE coalesce(h.account, b.account) WHEN 'tenant_prepaid' THEN ' prepaid' ELSE '' END ||
               ', the ledger says ' || coalesce(b.units, 0) AS detail
          FROM held h FULL JOIN booked b
            ON b.tenant_id = h.tenant_id AND b.currency = h.currency AND b.account = h.account
          JOIN tenant t ON t.id = coalesce(h.tenant_id, b.tenant_id)
         WHERE coalesce(h.units, 0) <> coalesce(b.units, 0)""",
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
               coalesce(p.applied, 0) || ' applied and written off, ' || coalesce(w.units, 0) || ' given up' AS detail
          FROM invoice i
          LEFT JOIN (SELECT invoice_id, sum(units) AS owed FROM posting WHERE account = 'receivable'
                      GROUP BY invoice_id) r ON r.invoice_id = i.id
          LEFT JOIN (SELECT invoice_id, sum(units) AS applied FROM (
                       SELECT invoice_id, applied_units + written_off_units AS units FROM payment
                        WHERE disposition = 'matched'
                       UNION ALL
                       SELECT invoice_id, applied_units + written_off_units FROM assignment
                        WHERE ended_at IS NULL) x GROUP BY invoice_id) p ON p.invoice_id = i.id
          LEFT JOIN write_off w ON w.invoice_id = i.id AND w.ended_at IS NULL
          LEFT JOIN (SELECT invoice_id, sum(total) AS noted FROM credit_note WHERE kind = 'partial'
                      GROUP BY invoice_id) n ON n.invoice_id = i.id
         WHERE CASE i.status WHEN 'void' THEN coalesce(p.applied, 0) <> 0 OR coalesce(w.units, 0) <> 0
                             ELSE coalesce(r.owed, 0) <> greatest(0, i.amount_due - coalesce(n.noted, 0))
                                  - coalesce(p.applied, 0) - coalesce(w.units, 0) END""",
    "what persons applied of a payment is its own": """
        SELECT 'payment ' || p.id AS subject, p.value_units || ' came in, ' || p.applied_units || ' pay invoices, '
               || p.credited_units || ' are credit, ' || coalesce(a.applied, 0) || ' are assigned' AS detail
          FROM payment p
          LEFT JOIN (SELECT payment_id, sum(applied_units) AS applied, sum(units) AS units FROM assignment
                      WHERE ended_at IS NULL GROUP BY payment_id) a ON a.payment_id = p.id
         WHERE (p.disposition = 'resolved' OR a.payment_id IS NOT NULL)
           AND (p.applied_units <> coalesce(a.applied, 0) OR p.credited_units <> p.value_units - p.applied_units
                OR coalesce(a.units, 0) > p.value_units OR p.disposition <> 'resolved')""",
    "what is owed back is what the ledger says": """
        WITH owed AS (SELECT k.chain_id || ':' || k.symbol AS asset, sum(r.units) AS units FROM refund r
                        JOIN token k ON k.chain_id = r.chain_id AND k.address = r.token_address
                       WHERE r.state = 'owed' GROUP BY 1),
             booked AS (SELECT asset, -sum(units) AS units FROM posting WHERE account = 'refunds_payable' GROUP BY asset)
        SELECT coalesce(o.asset, b.asset) AS subject, coalesce(o.units, 0) || ' units are owed back, the ledger says '
               || coalesce(b.units, 0) AS detail
          FROM owed o FULL JOIN booked b ON b.asset = o.asset WHERE coalesce(o.units, 0) <> coalesce(b.units, 0)""",
    "what is held is what is booked as held": """
        WITH stopped AS (
          SELECT t.chain_id, k.chain_id || ':' || k.symbol AS asset, sum(t.units) AS units
            FROM payment p JOIN transfer t ON t.id = p.transfer_id AND t.incarnation = p.incarnation
            JOIN token k ON k.chain_id = t.chain_id AND k.address = t.token_address
           WHERE p.disposition IN ('held', 'released') GROUP BY 1, 2),
        booked AS (
          SELECT split_part(account, ':', 2)::bigint AS chain_id, asset, -sum(units) AS units FROM posting
           WHERE account LIKE 'held:%' GROUP BY 1, 2)
        SELECT coalesce(s.asset, b.asset) AS subject,
               coalesce(s.units, 0) || ' units are held, the ledger says ' || coalesce(b.units, 0) AS detail
          FROM stopped s FULL JOIN booked b USING (chain_id, asset)
         WHERE coalesce(s.units, 0) <> coalesce(b.units, 0)""",
    "what is final was found on the chain again": """
        SELECT 'transfer ' || d.transfer_id AS subject, d.why AS detail FROM chain_doubt d
          JOIN transfer t ON t.id = d.transfer_id AND t.state <> 'orphaned' WHERE d.cleared_at IS NULL LIMIT 100""",
    "what owners are owed is what was settled": """
        WITH settled AS (
          SELECT 'owner_payable:' || o.slug AS account, l.currency AS asset, sum(l.collected - l.fee) AS units
            FROM owner_settlement_line l JOIN owner o ON o.id = l.owner_id GROUP BY o.slug, l.currency),
        booked AS (
          SELECT p.account, p.asset, -sum(p.units) AS units,
                 coalesce(sum(p.units) FILTER (WHERE e.kind IN ('payout', 'payout.reversal')), 0) AS paid
            FROM posting p JOIN entry e ON e.id = p.entry_id
           WHERE p.account LIKE 'owner\\_payable:%' GROUP BY p.account, p.asset)
        SELECT substr(coalesce(s.account, b.account), 15) AS subject,
               coalesce(s.units, 0) - coalesce(b.paid, 0) || ' ' || coalesce(s.asset, b.asset)
               || ' settled and not paid out, the ledger says ' || coalesce(b.units, 0) AS detail
          FROM settled s FULL JOIN booked b ON b.account = s.account AND b.asset = s.asset
         WHERE coalesce(s.units, 0) - coalesce(b.paid, 0) <> coalesce(b.units, 0)""",
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
    deposits = session.exec(
        select(DepositDocumentRow.number, DepositDocumentRow.document, DepositDocumentRow.digest)
    ).all()
    every = (*invoices, *notes, *deposits)
    return [(number, bytes(content), Hash32(digest)) for number, content, digest in every]


def document_addresses(session: Session) -> dict[str, str]:
    """{number of an invoice or a deposit document: its stored address}."""
    invoices = session.exec(
        select(InvoiceRow.number, PaymentAddressRow.address).join(
            PaymentAddressRow, col(PaymentAddressRow.invoice_id) == InvoiceRow.id
        )
    ).all()
    deposits = session.exec(
        select(DepositDocumentRow.number, PaymentAddressRow.address).join(
            PaymentAddressRow, col(PaymentAddressRow.deposit_id) == DepositDocumentRow.id
        )
    ).all()
    return dict([*invoices, *deposits])


def read_span(session: Session) -> tuple[datetime, datetime] | None:
    """From the first to the last window that was ever read."""
    row = session.execute(
        text("SELECT min(lower(during)) AS first, max(upper(during)) AS last FROM reading WHERE superseded_at IS NULL")
    ).one()
    return None if row.first is None else (row.first, row.last)


def frozen_usage(session: Session) -> list[tuple[Span, str, int, int, str]]:
    """(period, its name, newest charge, charges, digest) of every month whose usage was frozen."""
    rows = session.exec(select(BookCloseRow).where(col(BookCloseRow.charged_until).is_not(None))).all()
    found = []
    for one in rows:
        assert one.charged_until is not None and one.charges is not None and one.usage_digest is not None
        found.append((parse_month(one.period), one.period, one.charged_until, one.charges, one.usage_digest))
    return found


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


_TRACES: dict[str, str] = {
    "collect": "SELECT max(read_at) FROM reading",
    "conserve": "SELECT max(day) + interval '1 day' FROM gpu_day",
    "invoice": "SELECT max(issued_at) FROM invoice",
    "deliver": "SELECT max(done_at) FROM delivery",
    "audit": "SELECT max(at) FROM trail WHERE action = 'audit'",
}


def traces(session: Session) -> list[tuple[str, datetime | None]]:
    """(job, when it left its newest trace in the database): a job that found nothing to do leaves none."""
    found = [(name, session.execute(text(query)).scalar_one()) for name, query in _TRACES.items()]
    rows = session.execute(
        text(
            "SELECT c.name, c.updated_at, p.updated_at AS proven_at,"
            " (SELECT max(b.read_at) FROM balance_reading b WHERE b.chain_id = c.chain_id) AS looked_at"
            " FROM chain_state c LEFT JOIN chain_proof p ON p.chain_id = c.chain_id ORDER BY c.chain_id"
        )
    )
    for row in rows:
        found += [(f"watch {row.name}", row.updated_at), (f"prove {row.name}", row.proven_at)]
        found += [(f"balances {row.name}", row.looked_at)]
    return found


def holders(session: Session) -> list[dict[str, Any]]:
    """Who took each of the daemon's roles, and when."""
    rows = session.execute(text("SELECT name, holder, taken_at, epoch FROM role ORDER BY name"))
    return [dict(row._mapping) for row in rows]

"""Reads what reports show, straight from the tables, in chain order."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import RowMapping, text
from sqlmodel import Session

from billing.chain.store import tokens
from billing.chain.tokens import Token
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.core.period import Span
from billing.reports.books import Booked, Exponents, Owing
from billing.reports.rows import ReconciliationRow

AT_ONCE: Final = 5_000
"""Rows that are held at a time."""

_RECONCILIATION = """
    WITH paid AS (
      SELECT invoice_id, sum(value) AS value FROM (
        SELECT invoice_id, value_units AS value FROM payment WHERE disposition = 'matched'
        UNION ALL SELECT invoice_id, applied_units FROM assignment WHERE ended_at IS NULL) AS x GROUP BY invoice_id),
    noted AS (SELECT invoice_id, sum(total) AS units FROM credit_note WHERE kind = 'partial' GROUP BY invoice_id)
    SELECT i.number, n.slug AS tenant, coalesce(nullif(n.legal_name, ''), n.name) AS tenant_name, i.currency, i.exponent,
           greatest(0, i.amount_due - coalesce(noted.units, 0)) AS amount_due, i.status AS invoice_status, a.address,
           t.id AS transfer_id, t.chain_id, t.token_address, t.units, t.state, t.tx_hash, t.log_index, t.block_number,
           t.block_hash, t.mined_at, t.from_address, t.to_address, c.cursor_number,
           p.kind, p.disposition, p.value_units,
           CASE p.disposition WHEN 'resolved' THEN 0 ELSE p.applied_units END AS applied_units,
           CASE p.disposition WHEN 'resolved' THEN p.value_units ELSE p.credited_units END AS credited_units,
           p.written_off_units, p.rate,
           p.rate_source, coalesce(paid.value, 0) AS paid_value,
           (SELECT string_agg(e.id::text, ' ' ORDER BY e.id) FROM entry e
             WHERE (e.transfer_id = t.id AND e.incarnation = t.incarnation)
                OR (e.invoice_id = i.id AND e.kind = 'allocation' AND p.disposition = 'matched')) AS entries
      FROM invoice i JOIN tenant n ON n.id = i.tenant_id
      LEFT JOIN payment_address a ON a.invoice_id = i.id
      LEFT JOIN transfer t ON t.to_address = a.address
      LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id
      LEFT JOIN paid ON paid.invoice_id = i.id
      LEFT JOIN noted ON noted.invoice_id = i.id
     WHERE i.period && tstzrange(:start, :end)
    UNION ALL
    SELECT i.number, n.slug, coalesce(nullif(n.legal_name, ''), n.name), i.currency, i.exponent,
           greatest(0, i.amount_due - coalesce(noted.units, 0)), i.status,
           t.to_address, t.id, t.chain_id, t.token_address,
           t.units, t.state, t.tx_hash, t.log_index, t.block_number, t.block_hash, t.mined_at, t.from_address, t.to_address,
           c.cursor_number, 'assigned', p.disposition, 0, s.applied_units, -s.applied_units, s.written_off_units, p.rate,
           p.rate_source, coalesce(paid.value, 0),
           (SELECT string_agg(e.id::text, ' ' ORDER BY e.id) FROM entry e
             WHERE e.invoice_id = i.id AND e.kind = 'allocation')
      FROM assignment s JOIN invoice i ON i.id = s.invoice_id JOIN tenant n ON n.id = i.tenant_id
      JOIN payment p ON p.id = s.payment_id JOIN transfer t ON t.id = p.transfer_id
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id
      LEFT JOIN paid ON paid.invoice_id = i.id
      LEFT JOIN noted ON noted.invoice_id = i.id
     WHERE s.ended_at IS NULL AND i.period && tstzrange(:start, :end)
    UNION ALL
    SELECT '', '', '', '', 0, 0, '', a.address, t.id, t.chain_id, t.token_address, t.units, t.state, t.tx_hash, t.log_index,
           t.block_number, t.block_hash, t.mined_at, t.from_address, t.to_address, c.cursor_number,
           p.kind, p.disposition, p.value_units, p.applied_units, p.credited_units, p.written_off_units, p.rate,
           p.rate_source, 0,
           (SELECT string_agg(e.id::text, ' ' ORDER BY e.id) FROM entry e
             WHERE e.transfer_id = t.id AND e.incarnation = t.incarnation)
      FROM transfer t JOIN payment_address a ON a.address = t.to_address AND a.kind = 'unissued'
      LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id
     WHERE t.mined_at >= :start AND t.mined_at < :end
    UNION ALL
    SELECT d.number, n.slug, coalesce(nullif(n.legal_name, ''), n.name), d.currency, d.exponent, NULL, '',
           a.address, t.id, t.chain_id, t.token_address, t.units,
           t.state, t.tx_hash, t.log_index, t.block_number, t.block_hash, t.mined_at, t.from_address, t.to_address,
           c.cursor_number, p.kind, p.disposition, p.value_units, p.applied_units, p.credited_units, p.written_off_units,
           p.rate, p.rate_source, 0,
           (SELECT string_agg(e.id::text, ' ' ORDER BY e.id) FROM entry e
             WHERE e.transfer_id = t.id AND e.incarnation = t.incarnation)
      FROM transfer t JOIN payment_address a ON a.address = t.to_address
      JOIN deposit_document d ON d.id = a.deposit_id JOIN tenant n ON n.id = d.tenant_id
      LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id
     WHERE t.mined_at >= :start AND t.mined_at < :end
     ORDER BY 1, chain_id, block_number, log_index"""


def reconciliation(
    session: Session, period: Span, label: str, known: Mapping[tuple[int, str], Token], chains: Mapping[int, str]
) -> Iterator[ReconciliationRow]:
    """The rows of a period: its invoices with every transfer to their addresses; top-ups and stray money that came in during
    it. A top-up has the number of its deposit document, and nothing is due on it."""
    values = {"start": period.start, "end": period.end}
    for row in session.connection().execution_options(yield_per=AT_ONCE).execute(text(_RECONCILIATION), values):
        yield _row(row._mapping, label, known, chains)


def _row(
    r: RowMapping, label: str, known: Mapping[tuple[int, str], Token], chains: Mapping[int, str]
) -> ReconciliationRow:
    exponent = r["exponent"]
    invoiced = bool(r["number"])

    def money(name: str) -> str:
        return "" if r[name] is None or not invoiced else decimal_text(int(r[name]), exponent)

    paid = r["transfer_id"] is not None
    token = known.get((r["chain_id"], r["token_address"])) if paid else None
    standing = paid and r["state"] != "orphaned" and r["cursor_number"] is not None
    due = None if r["amount_due"] is None else int(r["amount_due"])
    return ReconciliationRow(
        invoice=r["number"],
        tenant=r["tenant"],
        period=label,
        currency=r["currency"],
        amount_due=money("amount_due"),
        invoice_status=r["invoice_status"],
        token=token.symbol if token else (r["token_address"] or ""),
        chain_id=r["chain_id"],
        chain=chains.get(r["chain_id"], ""),
        amount_units=str(int(r["units"])) if paid else "",
        amount=decimal_text(int(r["units"]), token.decimals) if token else "",
        value=money("value_units"),
        applied=money("applied_units"),
        credited=money("credited_units"),
        written_off=money("written_off_units"),
        difference=decimal_text(int(r["paid_value"]) - due, exponent)
        if invoiced and due is not None and r["invoice_status"] != "void"
        else "",
        kind=r["kind"] or "",
        disposition=r["disposition"] or ("unmatched" if paid else ""),
        status=r["state"] or "",
        confirmations=max(0, r["cursor_number"] - r["block_number"] + 1) if standing else (0 if paid else None),
        tx_hash=r["tx_hash"] or "",
        log_index=r["log_index"],
        block=r["block_number"],
        block_hash=r["block_hash"] or "",
        time=r["mined_at"],
        sender=_shown(r["from_address"]),
        receiver=_shown(r["to_address"]),
        rate=format(r["rate"].normalize(), "f") if r["rate"] is not None else "",
        rate_source=r["rate_source"] or "",
        ledger_entry=r["entries"] or "",
        address=_shown(r["address"]),
        tenant_name=r["tenant_name"],
    )


_POSTINGS = """
    SELECT e.id AS entry, e.booked_on, e.happened_at, e.kind, p.account, p.asset, p.units, coalesce(n.slug, '') AS tenant,
           coalesce(i.number, '') AS invoice, coalesce(t.tx_hash, '') AS tx_hash, e.memo, e.reverses_id AS reverses
      FROM entry e JOIN posting p ON p.entry_id = e.id
      LEFT JOIN tenant n ON n.id = p.tenant_id
      LEFT JOIN invoice i ON i.id = coalesce(p.invoice_id, e.invoice_id)
      LEFT JOIN transfer t ON t.id = e.transfer_id"""


def journal(session: Session, first: date, end: date) -> Iterator[Booked]:
    """Every posting of the entries booked from a day until before another, in order, a few thousand at a time."""
    sql = f"{_POSTINGS} WHERE e.booked_on >= :first AND e.booked_on < :end ORDER BY e.id, p.id"
    yield from _booked(session, sql, {"first": first, "end": end})


def used(session: Session, end: date) -> list[tuple[str, str]]:
    """(account, asset) of every posting before a day."""
    rows = session.execute(
        text(
            "SELECT DISTINCT p.account, p.asset FROM posting p JOIN entry e ON e.id = p.entry_id WHERE e.booked_on < :end"
        ),
        {"end": end},
    )
    return sorted((row.account, row.asset) for row in rows)


def brought_forward(session: Session, before: date) -> list[tuple[str, str, int]]:
    """(account, asset, units) of every balance at the beginning of a day."""
    rows = session.execute(
        text(
            "SELECT p.account, p.asset, sum(p.units) AS units FROM posting p JOIN entry e ON e.id = p.entry_id"
            " WHERE e.booked_on < :day GROUP BY 1, 2 HAVING sum(p.units) <> 0 ORDER BY 1, 2"
        ),
        {"day": before},
    )
    return [(row.account, row.asset, int(row.units)) for row in rows]


_OF_TENANT = "p.tenant_id = :tenant AND p.account IN ('receivable', 'tenant_credit', 'tenant_prepaid')"


def statement(session: Session, tenant_id: int, first: date, end: date) -> Iterator[Booked]:
    """What was booked for a tenant: what it owes, and what it has to its credit."""
    sql = f"{_POSTINGS} WHERE {_OF_TENANT} AND e.booked_on >= :first AND e.booked_on < :end ORDER BY e.id, p.id"
    yield from _booked(session, sql, {"tenant": tenant_id, "first": first, "end": end})


def owed_before(session: Session, tenant_id: int, day: date) -> dict[str, int]:
    """{currency: what a tenant owed at the beginning of a day, less its credit}."""
    rows = session.execute(
        text(
            "SELECT p.asset, sum(p.units) AS units FROM posting p JOIN entry e ON e.id = p.entry_id"  # noqa: S608
            f" WHERE {_OF_TENANT} AND e.booked_on < :day GROUP BY 1"
        ),
        {"tenant": tenant_id, "day": day},
    )
    return {row.asset: int(row.units) for row in rows}


def owing(session: Session, on: date) -> Iterator[Owing]:
    """What was left of each invoice at the end of a day, by what was booked until then. The longest due first."""
    rows = (
        session.connection()
        .execution_options(yield_per=AT_ONCE)
        .execute(
            text(
                "SELECT i.number, n.slug, i.currency, i.issued_at, i.due_at, i.status, i.amount_due, r.units,"
                " coalesce(nullif(n.legal_name, ''), n.name) AS name FROM invoice i"
                " JOIN tenant n ON n.id = i.tenant_id JOIN ("
                "  SELECT p.invoice_id, sum(p.units) AS units FROM posting p JOIN entry e ON e.id = p.entry_id"
                "   WHERE p.account = 'receivable' AND e.booked_on <= :day GROUP BY 1 HAVING sum(p.units) <> 0) AS r"
                "  ON r.invoice_id = i.id ORDER BY i.due_at, i.id"
            ),
            {"day": on},
        )
    )
    for r in rows:
        yield Owing(
            r.number, r.slug, r.currency, r.issued_at, r.due_at, r.status, int(r.amount_due), int(r.units), r.name
        )  # fmt: skip


def exponents(session: Session) -> Exponents:
    """Decimals of every token that was ever listened to, and of every currency of an invoice."""
    found = {token.asset.code: token.decimals for token in tokens.known(session).values()}
    currencies = session.execute(text("SELECT DISTINCT currency, exponent FROM invoice"))
    return {**found, **{row.currency: row.exponent for row in currencies}}


def _booked(session: Session, sql: str, values: dict[str, Any]) -> Iterator[Booked]:
    rows = session.connection().execution_options(yield_per=AT_ONCE).execute(text(sql), values)
    for r in rows:
        yield Booked(
            r.entry, r.booked_on, r.happened_at, r.kind, r.account, r.asset, int(r.units), r.tenant, r.invoice, r.tx_hash,
            r.memo, r.reverses,
        )  # fmt: skip


def _shown(address: str | None) -> str:
    return checksum(Address(address)) if address else ""

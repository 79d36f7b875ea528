"""Reads what reports show, straight from the tables, in chain order."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.tokens import Token
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.core.period import Span
from billing.reports.rows import ReconciliationRow

_RECONCILIATION = """
    WITH paid AS (
      SELECT invoice_id, sum(value_units) AS value FROM payment WHERE disposition = 'matched' GROUP BY invoice_id)
    SELECT i.number, n.slug AS tenant, i.currency, i.exponent, i.amount_due, i.status AS invoice_status, a.address,
           t.id AS transfer_id, t.chain_id, t.token_address, t.units, t.state, t.tx_hash, t.log_index, t.block_number,
           t.block_hash, t.mined_at, t.from_address, t.to_address, c.cursor_number,
           p.kind, p.disposition, p.value_units, p.applied_units, p.credited_units, p.written_off_units, p.rate,
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
     WHERE i.period && tstzrange(:start, :end)
    UNION ALL
    SELECT '', '', '', 0, 0, '', a.address, t.id, t.chain_id, t.token_address, t.units, t.state, t.tx_hash, t.log_index,
           t.block_number, t.block_hash, t.mined_at, t.from_address, t.to_address, c.cursor_number,
           p.kind, p.disposition, p.value_units, p.applied_units, p.credited_units, p.written_off_units, p.rate,
           p.rate_source, 0,
           (SELECT string_agg(e.id::text, ' ' ORDER BY e.id) FROM entry e
             WHERE e.transfer_id = t.id AND e.incarnation = t.incarnation)
      FROM transfer t JOIN payment_address a ON a.address = t.to_address AND a.kind = 'unissued'
      LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation
      LEFT JOIN chain_state c ON c.chain_id = t.chain_id
     WHERE t.mined_at >= :start AND t.mined_at < :end
     ORDER BY 1, chain_id, block_number, log_index"""


def reconciliation(
    session: Session, period: Span, label: str, tokens: Mapping[tuple[int, str], Token], chains: Mapping[int, str]
) -> list[ReconciliationRow]:
    """The rows of a period: its invoices with every transfer to their addresses, and stray money that came in during it."""
    rows = session.execute(text(_RECONCILIATION), {"start": period.start, "end": period.end})
    return [_row(dict(row._mapping), label, tokens, chains) for row in rows]


def _row(
    r: Mapping[str, Any], label: str, tokens: Mapping[tuple[int, str], Token], chains: Mapping[int, str]
) -> ReconciliationRow:
    exponent = r["exponent"]
    invoiced = bool(r["number"])

    def money(name: str) -> str:
        return "" if r[name] is None or not invoiced else decimal_text(int(r[name]), exponent)

    paid = r["transfer_id"] is not None
    token = tokens.get((r["chain_id"], r["token_address"])) if paid else None
    standing = paid and r["state"] != "orphaned" and r["cursor_number"] is not None
    due = int(r["amount_due"])
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
        if invoiced and r["invoice_status"] != "void"
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
    )


def _shown(address: str | None) -> str:
    return checksum(Address(address)) if address else ""

"""Rows of credit notes, and what was taken off invoices with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.money import Asset
from billing.core.onchain import Hash32
from billing.core.period import Span, parse_time
from billing.db.tables.invoicing import CreditNoteLineRow, CreditNoteRow
from billing.invoicing.document import CreditNoteDocument
from billing.pricing.rating import LineKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A credit note about to be stored: its document, the exact bytes and their digest; its amounts in the currency's smallest
    unit, and what it takes off lines by position, before tax (nothing: it takes back the whole invoice)."""

    document: CreditNoteDocument
    content: bytes
    digest: Hash32
    total: int
    tax: int
    lines: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class CreditNote:
    """An issued credit note. `is_void`: it took back the whole invoice."""

    id: int
    number: str
    invoice: str
    invoice_id: int
    tenant: str
    tenant_id: int
    currency: Asset
    total: int
    tax: int
    reason: str
    is_void: bool
    issued_at: datetime
    digest: Hash32


def add(session: Session, one: Issued, invoice_id: int) -> None:
    row = CreditNoteRow(
        number=one.document.number,
        invoice_id=invoice_id,
        total=one.total,
        reason=one.document.reason,
        document=one.content,
        digest=one.digest,
        issued_at=parse_time(one.document.issued_at),
        kind="partial" if one.lines else "void",
        tax=one.tax,
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    session.add_all(
        CreditNoteLineRow(credit_note_id=row.id, invoice_id=invoice_id, position=position, amount=units)
        for position, units in sorted(one.lines.items())
    )
    session.flush()


def sums(session: Session, invoice_ids: Sequence[int]) -> dict[int, int]:
    """What was credited in part, tax included, by invoice. A void is another thing: nothing of the invoice stands then."""
    rows = session.exec(
        select(CreditNoteRow.invoice_id, func.sum(CreditNoteRow.total))
        .where(col(CreditNoteRow.invoice_id).in_(invoice_ids), CreditNoteRow.kind == "partial")
        .group_by(col(CreditNoteRow.invoice_id))
    )
    return {invoice_id: int(units) for invoice_id, units in rows}


def taken(session: Session, invoice_id: int) -> dict[int, int]:
    """What was taken off an invoice's lines so far, by position, before tax."""
    rows = session.exec(
        select(CreditNoteLineRow.position, func.sum(CreditNoteLineRow.amount))
        .where(CreditNoteLineRow.invoice_id == invoice_id)
        .group_by(col(CreditNoteLineRow.position))
    )
    return {position: int(units) for position, units in rows}


def net_charged(session: Session, period: Span, tenant_ids: Iterable[int]) -> dict[LineKey, int]:
    """By line of a period of which something was given as goodwill: what was charged for it, on whatever invoice, less that."""
    rows = session.execute(
        text(
            "WITH line AS (SELECT l.tenant_id, l.sku, l.during, l.unit_price, l.amount, coalesce((SELECT sum(n.amount)"
            "   FROM credit_note_line n WHERE n.invoice_id = l.invoice_id AND n.position = l.position), 0) AS given"
            "   FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id AND i.status <> 'void'"
            "  WHERE l.during <@ tstzrange(:start, :end) AND l.tenant_id = ANY(:tenants))"
            " SELECT tenant_id, sku, during, unit_price, sum(amount - given) AS net FROM line"
            " GROUP BY tenant_id, sku, during, unit_price HAVING sum(given) > 0"
        ),
        {"start": period.start, "end": period.end, "tenants": list(tenant_ids)},
    )
    found: dict[LineKey, int] = {}
    for tenant_id, sku, during, unit_price, net in rows:
        span = Span(during.lower, during.upper)
        found[LineKey.of(tenant_id, sku, span, unit_price)] = int(net)
    return found


_NOTES = """
    SELECT n.id, n.number, i.number AS invoice, n.invoice_id, t.slug AS tenant, i.tenant_id, i.currency, i.exponent, n.total,
           n.tax, n.reason, n.kind, n.issued_at, n.digest
      FROM credit_note n JOIN invoice i ON i.id = n.invoice_id JOIN tenant t ON t.id = i.tenant_id"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which credit notes to list; what is None does not filter. They come by age, after the row `after_id`."""

    number: str | None = None
    invoice_id: int | None = None
    tenant_id: int | None = None
    after_id: int = 0
    limit: int | None = None


def listed(session: Session, only: Filter = Filter()) -> list[CreditNote]:
    where, values = ["n.id > :after"], {"after": only.after_id, "limit": only.limit}
    for name, column, wanted in (
        ("number", "n.number", only.number),
        ("invoice", "n.invoice_id", only.invoice_id),
        ("tenant", "i.tenant_id", only.tenant_id),
    ):
        if wanted is not None:
            where.append(f"{column} = :{name}")
            values[name] = wanted  # type: ignore[assignment]
    sql = f"{_NOTES} WHERE {' AND '.join(where)} ORDER BY n.id LIMIT CAST(:limit AS bigint)"
    return [_note(row) for row in session.execute(text(sql), values)]


def _note(row: Any) -> CreditNote:
    return CreditNote(
        row.id,
        row.number,
        row.invoice,
        row.invoice_id,
        row.tenant,
        row.tenant_id,
        Asset(row.currency, row.exponent),
        int(row.total),
        int(row.tax),
        row.reason,
        row.kind == "void",
        row.issued_at,
        Hash32(row.digest),
    )


def of_invoice(session: Session, invoice_id: int) -> list[CreditNote]:
    """The credit notes of an invoice, by age."""
    return listed(session, Filter(invoice_id=invoice_id))


def by_number(session: Session, number: str) -> CreditNote:
    """Raises NotFound."""
    found = listed(session, Filter(number=number))
    if not found:
        raise NotFound(f"there is no credit note {number}", remedy="see: stablemeter invoice notes")
    return found[0]


def document(session: Session, note_id: int) -> bytes:
    """The stored bytes, unchanged."""
    return session.get_one(CreditNoteRow, note_id).document

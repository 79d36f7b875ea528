"""Rows of invoices, lines, credit notes, number series and tenants' credit."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import Span, parse_time
from billing.db.tables.invoicing import (
    CreditNoteRow,
    CreditUseRow,
    InvoiceLineRow,
    InvoiceRow,
    NumberSeriesRow,
    TenantCreditRow,
)
from billing.db.tables.tenants import TenantRow
from billing.db.tables.wallets import PaymentAddressRow
from billing.invoicing.document import CreditNoteDocument, InvoiceDocument
from billing.invoicing.draft import Credit, Draft
from billing.invoicing.invoice import Invoice, InvoiceLine
from billing.invoicing.lifecycle import INVOICE, InvoiceEvent, InvoiceStatus
from billing.ledger import store as ledger


def next_counter(session: Session, series: str) -> int:
    """Take the next number of a series. Its row stays locked until the transaction ends: whoever else issues waits."""
    session.execute(insert(NumberSeriesRow).values(name=series, next=1).on_conflict_do_nothing())
    row = session.exec(select(NumberSeriesRow).where(NumberSeriesRow.name == series).with_for_update()).one()
    counter = row.next
    row.next = counter + 1
    session.add(row)
    session.flush()
    return counter


def raise_counter(session: Session, series: str, above: int) -> None:
    """No number up to and including `above` is given out again."""
    session.execute(insert(NumberSeriesRow).values(name=series, next=1).on_conflict_do_nothing())
    row = session.exec(select(NumberSeriesRow).where(NumberSeriesRow.name == series).with_for_update()).one()
    if row.next <= above:
        row.next = above + 1
        session.add(row)
        session.flush()


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice about to be stored: its draft, its document, the document's exact bytes and their digest."""

    draft: Draft
    document: InvoiceDocument
    content: bytes
    digest: Hash32
    series: str
    replaces_id: int | None


def add(session: Session, one: Issued) -> int:
    """Store an invoice and its lines; returns its id. The caller writes charges, credit, ledger and address."""
    draft, issued_at = one.draft, parse_time(one.document.issued_at)
    status = INVOICE.next(
        InvoiceStatus.DRAFT, InvoiceEvent.ISSUE if draft.amount_due.units > 0 else InvoiceEvent.ISSUE_SETTLED
    )
    row = InvoiceRow(
        number=one.document.number,
        series=one.series,
        tenant_id=draft.payer.id,
        period=draft.period,
        currency=draft.currency.code,
        exponent=draft.currency.exponent,
        total=draft.total.units,
        credits=draft.credited.units,
        amount_due=draft.amount_due.units,
        status=status,
        issued_at=issued_at,
        due_at=parse_time(one.document.due_at),
        document=one.content,
        digest=one.digest,
        pay_token=secrets.token_urlsafe(32),
        replaces_id=one.replaces_id,
        status_at=issued_at,
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    session.add_all(
        InvoiceLineRow(
            invoice_id=row.id,
            position=position,
            tenant_id=line.consumer.id,
            sku=line.rated.key.sku,
            description=line.description,
            during=line.rated.span,
            quantity_seconds=line.rated.seconds,
            unit_price=line.rated.key.unit_price,
            amount=line.rated.amount,
            measured_seconds=line.evidence.measured_seconds,
            excluded=[list(one) for one in line.evidence.excluded],
            usage_digest=line.evidence.usage_digest,
        )
        for position, line in enumerate(draft.lines, 1)
    )
    session.flush()
    return row.id


@dataclass(frozen=True, slots=True)
class Filter:
    """Which invoices to list; what is None does not filter. They come by age, after the row `after_id`."""

    number: str | None = None
    ids: Sequence[int] | None = None
    tenant_id: int | None = None
    status: InvoiceStatus | None = None
    period: Span | None = None
    pay_token: str | None = None
    after_id: int = 0
    limit: int | None = None


def listed(session: Session, only: Filter = Filter()) -> list[Invoice]:
    """Invoices by age, with what the ledger says is still owed."""
    query = (
        select(InvoiceRow, TenantRow, PaymentAddressRow.address)
        .join(TenantRow, col(TenantRow.id) == InvoiceRow.tenant_id)
        .join(PaymentAddressRow, col(PaymentAddressRow.invoice_id) == InvoiceRow.id, isouter=True)
        .where(col(InvoiceRow.id) > only.after_id)
        .order_by(col(InvoiceRow.id))
    )
    if only.ids is not None:
        query = query.where(col(InvoiceRow.id).in_(only.ids))
    for column, wanted in (
        (InvoiceRow.number, only.number),
        (InvoiceRow.tenant_id, only.tenant_id),
        (InvoiceRow.status, only.status),
        (InvoiceRow.period, only.period),
        (InvoiceRow.pay_token, only.pay_token),
    ):
        if wanted is not None:
            query = query.where(col(column) == wanted)
    found = session.exec(query if only.limit is None else query.limit(only.limit)).all()
    owed = ledger.remaining(session, [row.id for row, _, _ in found if row.id is not None])
    replaced = {row.replaces_id for row, _, _ in found if row.replaces_id is not None}
    numbers = dict(
        session.exec(select(col(InvoiceRow.id), col(InvoiceRow.number)).where(col(InvoiceRow.id).in_(replaced))).all()
    )
    return [
        Invoice(
            id=row.id or 0,
            number=row.number,
            tenant=tenant.slug,
            tenant_id=row.tenant_id,
            tenant_name=tenant.name,
            status=InvoiceStatus(row.status),
            currency=Asset(row.currency, row.exponent),
            period=row.period,
            total=row.total,
            credits=row.credits,
            amount_due=row.amount_due,
            remaining=owed.get(row.id or 0, 0),
            issued_at=row.issued_at,
            due_at=row.due_at,
            digest=Hash32(row.digest),
            address=Address(address) if address else None,
            pay_token=row.pay_token,
            replaces=numbers.get(row.replaces_id),
        )
        for row, tenant, address in found
    ]


def by_number(session: Session, number: str) -> Invoice:
    """Raises NotFound."""
    found = listed(session, Filter(number=number))
    if not found:
        raise NotFound(f"there is no invoice {number}", remedy="see: stablemeter invoice list")
    return found[0]


def by_id(session: Session, invoice_id: int) -> Invoice:
    return listed(session, Filter(ids=[invoice_id]))[0]


def lines(session: Session, invoice_id: int) -> list[InvoiceLine]:
    rows = session.exec(
        select(InvoiceLineRow, TenantRow.slug)
        .join(TenantRow, col(TenantRow.id) == InvoiceLineRow.tenant_id)
        .where(InvoiceLineRow.invoice_id == invoice_id)
        .order_by(col(InvoiceLineRow.position))
    )
    return [
        InvoiceLine(
            row.position,
            slug,
            row.sku,
            row.description,
            row.during,
            row.quantity_seconds,
            row.unit_price,
            row.amount,
            row.measured_seconds,
            [(str(reason), int(seconds)) for reason, seconds in row.excluded],
            row.usage_digest,
        )
        for row, slug in rows
    ]


def document(session: Session, invoice_id: int) -> bytes:
    """The stored bytes, unchanged."""
    return session.get_one(InvoiceRow, invoice_id).document


def move(session: Session, invoice_id: int, event: InvoiceEvent, now: datetime) -> InvoiceStatus:
    """Let something happen to an invoice. Raises Conflict when its lifecycle does not allow it. Locks the row."""
    row = session.exec(select(InvoiceRow).where(InvoiceRow.id == invoice_id).with_for_update()).one()
    row.status = INVOICE.next(InvoiceStatus(row.status), event)
    row.status_at = now
    session.add(row)
    session.flush()
    return InvoiceStatus(row.status)


def lock(session: Session, invoice_id: int) -> InvoiceStatus:
    """Hold an invoice for this transaction; whoever else settles or voids it waits."""
    row = session.exec(select(InvoiceRow).where(InvoiceRow.id == invoice_id).with_for_update()).one()
    return InvoiceStatus(row.status)


def payers_with_invoice(session: Session, period: Span) -> dict[int, bool]:
    """Payers that have an invoice for exactly this period; True when one of them stands (is not void)."""
    rows = session.exec(select(InvoiceRow.tenant_id, InvoiceRow.status).where(InvoiceRow.period == period))
    found: dict[int, bool] = {}
    for tenant_id, status in rows:
        found[tenant_id] = found.get(tenant_id, False) or status != InvoiceStatus.VOID
    return found


def last_void(session: Session, tenant_id: int, period: Span) -> tuple[int, str, str] | None:
    """(id, number, digest) of the payer's newest void invoice for a period: a new one replaces it."""
    row = session.exec(
        select(InvoiceRow)
        .where(InvoiceRow.tenant_id == tenant_id, InvoiceRow.period == period, InvoiceRow.status == InvoiceStatus.VOID)
        .order_by(col(InvoiceRow.id).desc())
    ).first()
    return None if row is None or row.id is None else (row.id, row.number, row.digest)


def closed_until(session: Session) -> datetime | None:
    """The end of the newest invoiced period: time before it is not priced again."""
    found = session.exec(
        select(func.max(func.upper(InvoiceRow.period))).where(InvoiceRow.status != InvoiceStatus.VOID)
    ).first()
    assert found is None or isinstance(found, datetime)
    return found


def first_usage(session: Session) -> datetime | None:
    found: datetime | None = session.execute(
        text("SELECT min(lower(during)) FROM usage WHERE superseded_at IS NULL")
    ).scalar_one()
    return found


def used_payers(session: Session, period: Span) -> set[int]:
    """Who has to pay for usage in a period: the tenants that used something, or their resellers."""
    rows = session.execute(
        text(
            "SELECT DISTINCT coalesce(t.reseller_id, t.id) FROM usage u JOIN tenant t ON t.id = u.tenant_id"
            " WHERE u.superseded_at IS NULL AND u.during && tstzrange(:start, :end)"
        ),
        {"start": period.start, "end": period.end},
    )
    return {row[0] for row in rows}


def digests(session: Session) -> set[Hash32]:
    """The digests of all documents in the database."""
    notes = session.exec(select(CreditNoteRow.digest)).all()
    return {Hash32(digest) for digest in (*session.exec(select(InvoiceRow.digest)).all(), *notes)}


def add_credit_note(
    session: Session, document: CreditNoteDocument, content: bytes, digest: Hash32, taken_back: Invoice
) -> None:
    session.add(
        CreditNoteRow(
            number=document.number,
            invoice_id=taken_back.id,
            total=taken_back.total,
            reason=document.reason,
            document=content,
            digest=digest,
            issued_at=parse_time(document.issued_at),
        )
    )
    session.flush()


def credit_notes(session: Session, invoice_id: int) -> list[dict[str, Any]]:
    rows = session.exec(
        select(CreditNoteRow).where(CreditNoteRow.invoice_id == invoice_id).order_by(col(CreditNoteRow.id))
    )
    return [{"number": r.number, "total": r.total, "reason": r.reason, "issued_at": r.issued_at} for r in rows]


def credit_held(session: Session, tenant_id: int, currency: str) -> list[Credit]:
    """Credit that may be used now: final, not reversed, not used up. Locks it."""
    rows = session.exec(
        select(TenantCreditRow)
        .where(
            TenantCreditRow.tenant_id == tenant_id,
            TenantCreditRow.currency == currency,
            col(TenantCreditRow.final_at).is_not(None),
            col(TenantCreditRow.reversed_at).is_(None),
        )
        .order_by(col(TenantCreditRow.id))
        .with_for_update()
    ).all()
    used = _used(session, [row.id for row in rows if row.id is not None])
    return [
        Credit(row.id or 0, row.kind, row.reference, row.units - used.get(row.id or 0, 0))
        for row in rows
        if row.units > used.get(row.id or 0, 0)
    ]


def _used(session: Session, credit_ids: Sequence[int]) -> dict[int, int]:
    rows = session.exec(
        select(CreditUseRow.credit_id, func.sum(CreditUseRow.units))
        .where(col(CreditUseRow.credit_id).in_(credit_ids))
        .group_by(col(CreditUseRow.credit_id))
    )
    return {credit_id: int(units) for credit_id, units in rows}


def credits_of(session: Session, tenant_id: int) -> list[dict[str, Any]]:
    """All credit that a tenant was ever given, and what is left of it."""
    rows = session.exec(
        select(TenantCreditRow).where(TenantCreditRow.tenant_id == tenant_id).order_by(col(TenantCreditRow.id))
    ).all()
    used = _used(session, [row.id for row in rows if row.id is not None])
    return [
        {
            "kind": row.kind,
            "currency": row.currency,
            "units": row.units,
            "left": 0 if row.reversed_at else row.units - used.get(row.id or 0, 0),
            "reference": row.reference,
            "final": row.final_at is not None,
            "reversed": row.reversed_at is not None,
        }
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit that a tenant is given out of a transfer. `reference` is the transaction; it may be used once final."""

    tenant_id: int
    kind: str
    currency: str
    units: int
    reference: str
    final: bool


def set_credit(session: Session, transfer_id: int, grant: Grant | None, now: datetime) -> None:
    """Make a transfer's credit what it should be now. What was used of it stays used, whatever becomes of the rest."""
    rows = session.exec(
        select(TenantCreditRow).where(TenantCreditRow.transfer_id == transfer_id).with_for_update()
    ).all()
    used = _used(session, [row.id for row in rows if row.id is not None])
    active = [row for row in rows if row.reversed_at is None]
    stands = sum(row.units for row in active) + sum(used.get(row.id or 0, 0) for row in rows if row.reversed_at)
    wanted = grant.units if grant is not None else 0
    if stands == wanted:
        return
    for row in active:
        row.reversed_at = now
        session.add(row)
    rest = wanted - sum(used.values())
    if grant is not None and rest > 0:
        session.add(
            TenantCreditRow(
                tenant_id=grant.tenant_id,
                kind=grant.kind,
                currency=grant.currency,
                units=rest,
                reference=grant.reference,
                transfer_id=transfer_id,
                created_at=now,
                final_at=now if grant.final else None,
            )
        )
    session.flush()


def finalise_credit(session: Session, transfer_id: int, now: datetime) -> None:
    """The transfer behind some credit became final: the credit may be used."""
    for row in session.exec(
        select(TenantCreditRow).where(
            TenantCreditRow.transfer_id == transfer_id,
            col(TenantCreditRow.final_at).is_(None),
            col(TenantCreditRow.reversed_at).is_(None),
        )
    ):
        row.final_at = now
        session.add(row)


def reverse_credit(session: Session, transfer_id: int, now: datetime) -> None:
    """The transfer behind some credit is gone. Only final credit is ever used, so nothing depends on it."""
    for row in session.exec(
        select(TenantCreditRow).where(
            TenantCreditRow.transfer_id == transfer_id, col(TenantCreditRow.reversed_at).is_(None)
        )
    ):
        row.reversed_at = now
        session.add(row)
    session.flush()


def use(session: Session, used: Iterable[Credit], invoice_id: int, now: datetime) -> None:
    session.add_all(
        CreditUseRow(credit_id=credit.id, invoice_id=invoice_id, units=credit.units, created_at=now) for credit in used
    )


def give_back(session: Session, invoice_id: int, now: datetime) -> None:
    """Credit that a void invoice had used is held again."""
    rows = session.exec(select(CreditUseRow).where(CreditUseRow.invoice_id == invoice_id)).all()
    session.add_all(
        CreditUseRow(credit_id=row.credit_id, invoice_id=invoice_id, units=-row.units, created_at=now) for row in rows
    )

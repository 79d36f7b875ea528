"""Rows of invoices, lines and number series; `credit` keeps the tenants' credit, `notes` the credit notes."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import Span, parse_time
from billing.db import bulk
from billing.db.tables.invoicing import (
    InvoiceLineRow,
    InvoiceRow,
    NumberSeriesRow,
)
from billing.db.tables.tenants import TenantRow
from billing.db.tables.wallets import PaymentAddressRow
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.draft import Draft, DraftLine
from billing.invoicing.invoice import Invoice, InvoiceLine
from billing.invoicing.lifecycle import INVOICE, InvoiceEvent, InvoiceStatus
from billing.invoicing.store import notes, writeoffs
from billing.ledger import store as ledger
from billing.pricing.rating import LineKind, Metered

NO_METER: Final = dict.fromkeys(field.name for field in fields(Metered))


def next_counters(session: Session, series: str, count: int) -> range:
    """Take the next numbers of a series. Its row stays locked until the transaction ends: whoever else issues waits."""
    session.execute(insert(NumberSeriesRow).values(name=series, next=1).on_conflict_do_nothing())
    row = session.exec(select(NumberSeriesRow).where(NumberSeriesRow.name == series).with_for_update()).one()
    counters = range(row.next, row.next + count)
    row.next = counters.stop
    session.add(row)
    session.flush()
    return counters


def next_counter(session: Session, series: str) -> int:
    return next_counters(session, series, 1)[0]


def hold_series(session: Session) -> None:
    """Nobody else issues anything until this transaction ends."""
    session.exec(select(NumberSeriesRow).with_for_update()).all()


def coming_counter(session: Session, series: str) -> int:
    """The number that the series would give out next."""
    row = session.get(NumberSeriesRow, series)
    return 1 if row is None else row.next


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
    """An invoice about to be stored: its draft, its document, the document's exact bytes and their digest. `pay_token`
    opens its pay page."""

    draft: Draft
    document: InvoiceDocument
    content: bytes
    digest: Hash32
    series: str
    replaces_id: int | None
    pay_token: str


def add(session: Session, one: Issued) -> int:
    """Store an invoice and its lines; returns its id. The caller writes charges, credit, ledger and address."""
    return add_all(session, [one])[0]


def add_all(session: Session, issued: Sequence[Issued]) -> list[int]:
    """Store invoices and their lines; returns their ids."""
    ids = bulk.next_ids(session, InvoiceRow, len(issued))
    bulk.copy(session, InvoiceRow, [_row(invoice_id, one) for invoice_id, one in zip(ids, issued, strict=True)])
    bulk.copy(
        session,
        InvoiceLineRow,
        [
            _line_row(invoice_id, position, line)
            for invoice_id, one in zip(ids, issued, strict=True)
            for position, line in enumerate(one.draft.lines, 1)
        ],
    )
    return ids


def _row(invoice_id: int, one: Issued) -> dict[str, Any]:
    draft, issued_at = one.draft, parse_time(one.document.issued_at)
    event = InvoiceEvent.ISSUE if draft.amount_due.units > 0 else InvoiceEvent.ISSUE_SETTLED
    return {
        "id": invoice_id,
        "number": one.document.number,
        "series": one.series,
        "tenant_id": draft.payer.id,
        "period": draft.period,
        "progressive": draft.progressive,
        "currency": draft.currency.code,
        "exponent": draft.currency.exponent,
        "total": draft.total.units,
        "credits": draft.credited.units,
        "amount_due": draft.amount_due.units,
        "status": INVOICE.next(InvoiceStatus.DRAFT, event).value,
        "issued_at": issued_at,
        "due_at": parse_time(one.document.due_at),
        "document": one.content,
        "digest": one.digest,
        "pay_token": one.pay_token,
        "replaces_id": one.replaces_id,
        "status_at": issued_at,
        "tax": draft.tax.units,
        "purchase_order": draft.purchase_order,
    }


def _line_row(invoice_id: int, position: int, line: DraftLine) -> dict[str, Any]:
    rated, evidence = line.rated, line.evidence
    return {
        "invoice_id": invoice_id,
        "position": position,
        "tenant_id": line.consumer.id,
        "sku": rated.key.sku,
        "description": line.description,
        "during": rated.span,
        "quantity_seconds": rated.seconds,
        "unit_price": rated.key.unit_price,
        "amount": rated.amount,
        **(asdict(rated.metered) if rated.metered else NO_METER),
        "measured_seconds": evidence.measured_seconds,
        "bridged_seconds": evidence.bridged_seconds,
        "excluded": [list(one) for one in evidence.excluded],
        "usage_digest": evidence.usage_digest,
        "kind": rated.kind.value,
        "package": rated.package or None,
    }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which invoices to list; what is None does not filter. They come by age, after the row `after_id`; with `before_id` the newest
    come first, from before that row on (0: from the newest)."""

    number: str | None = None
    ids: Sequence[int] | None = None
    tenant_id: int | None = None
    status: InvoiceStatus | None = None
    period: Span | None = None
    pay_token: str | None = None
    after_id: int = 0
    limit: int | None = None
    before_id: int | None = None


def listed(session: Session, only: Filter = Filter()) -> list[Invoice]:
    """Invoices by age, with what is still owed: what the ledger says, and what was given up."""
    query = (
        select(InvoiceRow, TenantRow, PaymentAddressRow.address)
        .join(TenantRow, col(TenantRow.id) == InvoiceRow.tenant_id)
        .join(PaymentAddressRow, col(PaymentAddressRow.invoice_id) == InvoiceRow.id, isouter=True)
        .where(col(InvoiceRow.id) > only.after_id)
        .order_by(col(InvoiceRow.id) if only.before_id is None else col(InvoiceRow.id).desc())
    )
    if only.before_id:
        query = query.where(col(InvoiceRow.id) < only.before_id)
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
    lost = writeoffs.given_up(session, [row.id for row, _, _ in found if row.id is not None])
    noted = notes.sums(session, [row.id for row, _, _ in found if row.id is not None])
    replaced = {row.replaces_id for row, _, _ in found if row.replaces_id is not None}
    named = select(col(InvoiceRow.id), col(InvoiceRow.number)).where(col(InvoiceRow.id).in_(replaced))
    numbers = dict(session.exec(named).all()) if replaced else {}
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
            remaining=owed.get(row.id or 0, 0) + lost.get(row.id or 0, 0),
            issued_at=row.issued_at,
            due_at=row.due_at,
            digest=Hash32(row.digest),
            address=Address(address) if address else None,
            pay_token=row.pay_token,
            replaces=numbers.get(row.replaces_id),
            tax=row.tax,
            noted=noted.get(row.id or 0, 0),
            purchase_order=row.purchase_order,
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
            row.bridged_seconds,
            _metered(row),
            LineKind(row.kind),
        )
        for row, slug in rows
    ]


def _metered(row: InvoiceLineRow) -> Metered | None:
    if row.meter is None:
        return None
    assert row.quantity is not None  # the database sees to it that all of them are there
    return Metered(row.meter, row.aggregation or "", row.unit or "", row.unit_size or 1, row.quantity, row.events or 0)


def document(session: Session, invoice_id: int) -> bytes:
    """The stored bytes, unchanged."""
    return session.get_one(InvoiceRow, invoice_id).document


def move(session: Session, invoice_id: int, event: InvoiceEvent, now: datetime) -> InvoiceStatus:
    """Let something happen to an invoice. Raises Conflict when its lifecycle does not allow it. Locks the row."""
    row = _locked(session, invoice_id)
    row.status = INVOICE.next(InvoiceStatus(row.status), event)
    row.status_at = now
    session.add(row)
    session.flush()
    return InvoiceStatus(row.status)


def lock(session: Session, invoice_id: int) -> InvoiceStatus:
    """Hold an invoice for this transaction; whoever else settles or voids it waits."""
    return InvoiceStatus(_locked(session, invoice_id).status)


def _locked(session: Session, invoice_id: int) -> InvoiceRow:
    """The row as it is once nobody else holds it, whatever this session read before."""
    query = select(InvoiceRow).where(InvoiceRow.id == invoice_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).one()


def payers_with_invoice(session: Session, period: Span, among: Collection[int] | None = None) -> dict[int, bool]:
    """Payers that have an invoice for exactly this period; True when one of them stands (is not void)."""
    query = select(InvoiceRow.tenant_id, InvoiceRow.status).where(InvoiceRow.period == period)
    rows = session.exec(query if among is None else query.where(col(InvoiceRow.tenant_id).in_(among)))
    found: dict[int, bool] = {}
    for tenant_id, status in rows:
        found[tenant_id] = found.get(tenant_id, False) or status != InvoiceStatus.VOID
    return found


@dataclass(frozen=True, slots=True)
class Voided:
    """An invoice that was taken back."""

    id: int
    number: str
    digest: Hash32


def last_voids(session: Session, wanted: Collection[tuple[int, Span]]) -> dict[tuple[int, Span], Voided]:
    """Payers' newest void invoices for their periods, given as (payer, period): new ones replace them."""
    rows = session.exec(
        select(InvoiceRow)
        .where(
            col(InvoiceRow.tenant_id).in_({payer for payer, _ in wanted}),
            col(InvoiceRow.period).in_({period for _, period in wanted}),
            InvoiceRow.status == InvoiceStatus.VOID,
        )
        .order_by(col(InvoiceRow.id))
    )
    return {(row.tenant_id, row.period): Voided(row.id or 0, row.number, Hash32(row.digest)) for row in rows}


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
    rows = session.execute(
        text(
            "SELECT digest FROM invoice UNION ALL SELECT digest FROM credit_note UNION ALL SELECT digest FROM deposit_document"
        )
    )
    return {Hash32(row.digest) for row in rows}


def known(session: Session, digests: Sequence[Hash32]) -> set[Hash32]:
    """Those of the digests whose documents are in the database."""
    rows = session.execute(
        text(
            "SELECT digest FROM invoice WHERE digest = ANY(:digests)"
            " UNION ALL SELECT digest FROM credit_note WHERE digest = ANY(:digests)"
            " UNION ALL SELECT digest FROM deposit_document WHERE digest = ANY(:digests)"
        ),
        {"digests": list(digests)},
    )
    return {Hash32(row.digest) for row in rows}

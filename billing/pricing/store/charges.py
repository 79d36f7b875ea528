"""Rows of charges of time, fees, minimums and discounts: what was invoiced, frozen."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from billing.core.period import Span
from billing.db import bulk
from billing.db.tables.pricing import ChargeRow
from billing.pricing.rating import Charged, LineKey, LineKind, RatedLine, Share


def charged(session: Session, period: Span, tenant_ids: Iterable[int] | None = None) -> dict[LineKey, Charged]:
    """What was charged so far for each line in a period, on whatever invoice, voids taken off; but not of meters. Agreements'
    lines are of their payer."""
    query = select(ChargeRow).where(col(ChargeRow.meter).is_(None), col(ChargeRow.during).op("<@")(period))
    if tenant_ids is not None:
        query = query.where(col(ChargeRow.tenant_id).in_(list(tenant_ids)))
    found: dict[LineKey, Charged] = {}
    for row in session.exec(query):
        key = LineKey.of(row.tenant_id, row.sku, row.during, row.unit_price)
        new = Charged(row.during, kind=LineKind(row.line_kind), package=row.package or 0)
        found.setdefault(key, new).add(row.device_id, row.seconds, row.amount)
    return found


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of an invoice, to be frozen as its shares."""

    invoice_id: int
    position: int
    line: RatedLine
    usage_digest: str
    currency: str


def charge_all(session: Session, charges: Iterable[Charge]) -> None:
    """Freeze the shares of invoices' lines."""
    bulk.copy(session, ChargeRow, [_row(one, share) for one in charges for share in one.line.shares])


def _row(one: Charge, share: Share) -> dict[str, Any]:
    line, metered = one.line, one.line.metered
    return {
        "invoice_id": one.invoice_id,
        "position": one.position,
        "tenant_id": line.key.tenant_id,
        "device_id": share.device_id,
        "sku": line.key.sku,
        "unit_price": line.key.unit_price,
        "currency": one.currency,
        "during": line.span,
        "seconds": share.seconds,
        "meter": metered.meter if metered else None,
        "quantity": metered.quantity if metered else None,
        "line_kind": line.kind.value,
        "package": line.package or None,
        "amount": share.amount,
        "kind": "usage",
        "usage_digest": one.usage_digest,
    }


def cancel(session: Session, invoice_id: int) -> None:
    """Oppose every charge of an invoice: its usage may be invoiced again."""
    rows = session.exec(select(ChargeRow).where(ChargeRow.invoice_id == invoice_id, ChargeRow.kind == "usage")).all()
    session.add_all(
        ChargeRow(
            invoice_id=row.invoice_id,
            position=row.position,
            tenant_id=row.tenant_id,
            device_id=row.device_id,
            sku=row.sku,
            unit_price=row.unit_price,
            currency=row.currency,
            during=row.during,
            seconds=-row.seconds,
            meter=row.meter,
            quantity=None if row.quantity is None else row.quantity.copy_negate(),
            line_kind=row.line_kind,
            package=row.package,
            amount=-row.amount,
            kind="cancel",
            usage_digest=row.usage_digest,
        )
        for row in rows
    )

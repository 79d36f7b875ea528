"""Rows of assignments: what persons applied of suspended payments to invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.onchain import Address
from billing.db.tables.chain import TransferRow
from billing.db.tables.reconciliation import AssignmentRow, PaymentRow
from billing.reconciliation.matching import Allocation, Incoming, MatchKind
from billing.reconciliation.store import Payment, credit_used, payment_of


@dataclass(frozen=True, slots=True)
class Assignment:
    """So many units of an invoice's currency, of a payment that came in for something else. `applied` and `written_off` are
    what matching made of it."""

    id: int
    payment_id: int
    invoice_id: int
    units: int
    applied: int
    written_off: int

    @property
    def allocation(self) -> Allocation:
        """As it was booked."""
        return Allocation(self.payment_id, MatchKind.ASSIGNED, False, 0, self.applied, -self.applied, self.written_off)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who applied what to which invoices, and why."""

    by: str
    reason: str
    at: datetime


def add(session: Session, payment_id: int, parts: Sequence[tuple[int, int]], decision: Decision) -> None:
    """`parts` are (invoice id, units)."""
    session.add_all(
        AssignmentRow(
            payment_id=payment_id,
            invoice_id=invoice_id,
            units=units,
            decided_by=decision.by,
            reason=decision.reason,
            created_at=decision.at,
        )
        for invoice_id, units in parts
    )
    session.flush()


def to_invoice(session: Session, invoice_id: int) -> list[tuple[Assignment, Payment, Incoming]]:
    """The assignments to an invoice that stand, with their payments. Holds the payments for this transaction: their other
    assignments must not change meanwhile."""
    query = (
        select(AssignmentRow, PaymentRow, TransferRow)
        .join(PaymentRow, col(PaymentRow.id) == AssignmentRow.payment_id)
        .join(TransferRow, col(TransferRow.id) == PaymentRow.transfer_id)
        .where(AssignmentRow.invoice_id == invoice_id, col(AssignmentRow.ended_at).is_(None))
        .order_by(col(PaymentRow.id))
        .with_for_update(of=[PaymentRow.__table__, AssignmentRow.__table__])  # type: ignore[attr-defined]
    )
    rows = session.exec(query.execution_options(populate_existing=True)).all()
    used = credit_used(session, [transfer.id for _, _, transfer in rows if transfer.id is not None])
    standing = []
    for row, payment, transfer in rows:
        one = _assignment(row)
        elsewhere = payment.credited_units - (one.units - one.applied)
        incoming = Incoming(
            one.payment_id,
            (transfer.chain_id, Address(transfer.token_address)),
            0,
            transfer.units,
            transfer.mined_at,
            max(0, used.get(transfer.id or 0, 0) - elsewhere),
            Decimal(1),
            assigned=one.units,
        )
        standing.append((one, payment_of(payment), incoming))
    return standing


def write(session: Session, assignment_id: int, allocation: Allocation) -> None:
    row = session.get_one(AssignmentRow, assignment_id)
    row.applied_units, row.written_off_units = allocation.applied, allocation.written_off
    session.add(row)
    session.flush()


def applied(session: Session, payment_id: int) -> int:
    """What of a payment invoices have now."""
    rows = session.exec(
        select(AssignmentRow.applied_units).where(
            AssignmentRow.payment_id == payment_id, col(AssignmentRow.ended_at).is_(None)
        )
    )
    return sum(rows)


def end(session: Session, payment_id: int, now: datetime) -> list[Assignment]:
    """The payment's transfer is gone: so is what was decided about it. Returns what was booked of it."""
    query = (
        select(AssignmentRow)
        .where(AssignmentRow.payment_id == payment_id, col(AssignmentRow.ended_at).is_(None))
        .order_by(col(AssignmentRow.invoice_id))
        .with_for_update()
    )
    ended = []
    for row in session.exec(query).all():
        ended.append(_assignment(row))
        row.applied_units, row.written_off_units, row.ended_at = 0, 0, now
        session.add(row)
    session.flush()
    return ended


def in_chain_order(session: Session, transfer_ids: Sequence[int]) -> dict[int, int]:
    """{transfer id: its place among these}."""
    rows = session.execute(
        text("SELECT id FROM transfer WHERE id = ANY(:ids) ORDER BY mined_at, chain_id, block_number, log_index, id"),
        {"ids": list(transfer_ids)},
    )
    return {row.id: place for place, row in enumerate(rows)}


def _assignment(row: AssignmentRow) -> Assignment:
    return Assignment(row.id or 0, row.payment_id, row.invoice_id, row.units, row.applied_units, row.written_off_units)

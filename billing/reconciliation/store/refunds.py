"""Rows of refunds: money that is owed back, and the treasury's transfers that paid it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.onchain import Address, Hash32
from billing.db.tables.chain import TransferRow
from billing.db.tables.invoicing import CreditUseRow, TenantCreditRow
from billing.db.tables.reconciliation import PaymentRow, RefundRow
from billing.invoicing.draft import Credit
from billing.reconciliation.lifecycle import Disposition

OWED: Final = "owed"
PAID: Final = "paid"
GONE: Final = "gone"


@dataclass(frozen=True, slots=True)
class Refund:
    """`units` of a token are owed to a tenant, out of a payment. `value` of `currency` was its credit before; empty: the money was
    never credited."""

    id: int
    payment_id: int
    tenant_id: int | None
    chain_id: int
    token: Address
    units: int
    state: str
    currency: str = ""
    value: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided that it is owed, and why."""

    by: str
    reason: str
    at: datetime


def add(session: Session, refund: Refund, why: Decision) -> int:
    row = RefundRow(
        payment_id=refund.payment_id,
        tenant_id=refund.tenant_id,
        chain_id=refund.chain_id,
        token_address=refund.token,
        units=refund.units,
        currency=refund.currency,
        value_units=refund.value,
        decided_by=why.by,
        reason=why.reason,
        created_at=why.at,
    )
    session.add(row)
    session.flush()
    return row.id or 0


def hold(session: Session, refund_id: int) -> Refund:
    """A refund, held for this transaction. Raises NotFound."""
    query = select(RefundRow).where(RefundRow.id == refund_id).with_for_update()
    row = session.exec(query.execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound(f"there is no refund {refund_id}", remedy="see: stablemeter refund list")
    return _refund(row)


def owed_on(session: Session, chain_id: int) -> list[Refund]:
    rows = session.exec(
        select(RefundRow).where(RefundRow.chain_id == chain_id, RefundRow.state == OWED).order_by(col(RefundRow.id))
    )
    return [_refund(row) for row in rows]


def is_used(session: Session, transfer_id: int) -> bool:
    """Did this transfer pay a refund already?"""
    return session.exec(select(RefundRow.id).where(RefundRow.paid_by_transfer_id == transfer_id)).first() is not None


def pay(session: Session, refund_id: int, transfer_id: int, now: datetime) -> None:
    row = session.get_one(RefundRow, refund_id)
    row.state, row.paid_by_transfer_id, row.paid_at = PAID, transfer_id, now
    session.add(row)
    session.flush()


def unpay(session: Session, transfer_id: int) -> None:
    """The transfer that paid a refund left the chain: it is owed again, if what it was owed for still stands."""
    for row in session.exec(select(RefundRow).where(RefundRow.paid_by_transfer_id == transfer_id)).all():
        reversed_too = session.get_one(PaymentRow, row.payment_id).disposition == Disposition.REVERSED
        row.state, row.paid_by_transfer_id, row.paid_at = GONE if reversed_too else OWED, None, None
        session.add(row)
    session.flush()


def of_payment(session: Session, payment_id: int) -> list[Refund]:
    """Those that stand: owed or paid."""
    query = select(RefundRow).where(RefundRow.payment_id == payment_id, RefundRow.state != GONE)
    return [_refund(row) for row in session.exec(query.order_by(col(RefundRow.id)).with_for_update()).all()]


def drop(session: Session, refund_id: int) -> None:
    """The money that was owed back is gone itself."""
    row = session.get_one(RefundRow, refund_id)
    row.state = GONE
    session.add(row)
    session.flush()


@dataclass(frozen=True, slots=True)
class Source:
    """The payment that credit came out of, and what its token was valued at."""

    payment_id: int
    chain_id: int
    token: Address
    units: int
    rate: Decimal


def sources(session: Session, held: Sequence[Credit]) -> dict[int, Source]:
    """{credit id: where it came from} of credit that came out of transfers."""
    rows = session.exec(
        select(TenantCreditRow.id, TransferRow, PaymentRow)
        .join(TransferRow, col(TransferRow.id) == TenantCreditRow.transfer_id)
        .join(
            PaymentRow,
            (col(PaymentRow.transfer_id) == TransferRow.id) & (col(PaymentRow.incarnation) == TransferRow.incarnation),
        )
        .where(col(TenantCreditRow.id).in_([one.id for one in held]))
    )
    return {
        credit_id or 0: Source(
            payment.id or 0,
            transfer.chain_id,
            Address(transfer.token_address),
            transfer.units,
            payment.rate or Decimal(1),
        )
        for credit_id, transfer, payment in rows
    }


def use_credit(session: Session, credit_id: int, refund_id: int, units: int, now: datetime) -> None:
    session.add(CreditUseRow(credit_id=credit_id, refund_id=refund_id, units=units, created_at=now))
    session.flush()


def give_back(session: Session, refund_id: int, now: datetime) -> None:
    """What a refund took of credit is credit again."""
    for row in session.exec(select(CreditUseRow).where(CreditUseRow.refund_id == refund_id)).all():
        use_credit(session, row.credit_id, refund_id, -row.units, now)


_LISTED: Final = """
    SELECT r.id, n.slug AS tenant, r.tenant_id, r.chain_id, r.token_address, r.units, r.currency, r.value_units, r.state, r.reason,
           r.decided_by, r.created_at, r.paid_at, t.tx_hash AS came_in, o.tx_hash AS paid_in, i.number AS invoice
      FROM refund r JOIN payment p ON p.id = r.payment_id JOIN transfer t ON t.id = p.transfer_id
      LEFT JOIN tenant n ON n.id = r.tenant_id LEFT JOIN transfer o ON o.id = r.paid_by_transfer_id
      LEFT JOIN payment_address a ON a.address = t.to_address LEFT JOIN invoice i ON i.id = a.invoice_id"""


def listed(
    session: Session, *, state: str | None = OWED, after_id: int = 0, limit: int = 10_000
) -> list[dict[str, Any]]:
    """Refunds by age, with the transactions that the money came in and went out with."""
    rows = session.execute(
        text(
            f"{_LISTED} WHERE r.id > :after AND (CAST(:state AS text) IS NULL OR r.state = :state) ORDER BY r.id LIMIT :limit"
        ),
        {"after": after_id, "state": state, "limit": limit},
    )
    return [{**row._mapping, "units": int(row.units), "value_units": int(row.value_units)} for row in rows]


def in_transaction(session: Session, chain_id: int, tx_hash: Hash32) -> list[int]:
    """The ids of a transaction's transfers, in their order."""
    query = select(TransferRow.id).where(TransferRow.chain_id == chain_id, TransferRow.tx_hash == tx_hash)
    return [one or 0 for one in session.exec(query.order_by(col(TransferRow.log_index)))]


def _refund(row: RefundRow) -> Refund:
    return Refund(
        row.id or 0,
        row.payment_id,
        row.tenant_id,
        row.chain_id,
        Address(row.token_address),
        row.units,
        row.state,
        row.currency,
        row.value_units,
    )

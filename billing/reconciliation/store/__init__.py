"""Rows of payments and exceptions; `listing` reads payments as people see them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, NotFound
from billing.db.tables.chain import TransferRow
from billing.db.tables.invoicing import InvoiceRow
from billing.db.tables.reconciliation import ExceptionRow, PaymentRow
from billing.db.tables.tenants import TenantRow
from billing.quotes.feed import Rate
from billing.reconciliation.lifecycle import PAYMENT, Disposition, DispositionEvent
from billing.reconciliation.matching import Allocation, Incoming, MatchKind
from billing.reconciliation.store.listing import payments as payments
from billing.reconciliation.valuation import PAR

OBSOLETE: Final = "obsolete"
"""The resolution of an exception whose subject went away."""


@dataclass(frozen=True, slots=True)
class Payment:
    """How one incarnation of a transfer was dealt with."""

    id: int
    transfer_id: int
    incarnation: int
    invoice_id: int | None
    tenant_id: int | None
    disposition: Disposition
    allocation: Allocation


def find(session: Session, transfer_id: int, incarnation: int) -> Payment | None:
    row = session.exec(
        select(PaymentRow).where(PaymentRow.transfer_id == transfer_id, PaymentRow.incarnation == incarnation)
    ).first()
    return None if row is None else payment_of(row)


def by_id(session: Session, payment_id: int) -> Payment:
    return payment_of(session.get_one(PaymentRow, payment_id))


def booked(session: Session, transfer_id: int, incarnation: int) -> bool:
    """Was this incarnation dealt with? One that was just released is about to be."""
    found = find(session, transfer_id, incarnation)
    return found is not None and found.disposition is not Disposition.RELEASED


def standing(session: Session, transfer_id: int) -> list[Payment]:
    """The payments of a transfer that were not reversed: one, unless its block left the chain and came back unnoticed."""
    rows = session.exec(
        select(PaymentRow)
        .where(PaymentRow.transfer_id == transfer_id, PaymentRow.disposition != Disposition.REVERSED)
        .order_by(col(PaymentRow.incarnation))
    )
    return [payment_of(row) for row in rows]


def payment_of(row: PaymentRow) -> Payment:
    kind = MatchKind(row.kind) if row.kind else MatchKind.DUST
    allocation = Allocation(
        row.id or 0,
        kind,
        row.late,
        row.value_units,
        row.applied_units,
        row.credited_units,
        row.written_off_units,
        row.fx_units,
    )
    return Payment(
        row.id or 0,
        row.transfer_id,
        row.incarnation,
        row.invoice_id,
        row.tenant_id,
        Disposition(row.disposition),
        allocation,
    )


def add(
    session: Session,
    transfer: tuple[int, int],
    event: DispositionEvent,
    now: datetime,
    *,
    invoice: tuple[int | None, int] | None = None,
    kind: str = "",
) -> int:
    """A payment row for (transfer, incarnation), or the one that was held and released; `invoice` is
    (id, tenant id), without an id for a top-up."""
    row = session.exec(
        select(PaymentRow).where(PaymentRow.transfer_id == transfer[0], PaymentRow.incarnation == transfer[1])
    ).first() or PaymentRow(
        transfer_id=transfer[0],
        incarnation=transfer[1],
        disposition=Disposition.UNMATCHED,
        kind="",
        created_at=now,
        updated_at=now,
    )
    row.disposition = PAYMENT.next(Disposition(row.disposition), event)
    row.invoice_id, row.tenant_id = invoice or (None, None)
    row.kind, row.updated_at = kind, now
    session.add(row)
    session.flush()
    return row.id or 0


def move(session: Session, payment_id: int, event: DispositionEvent, now: datetime, reason: str = "") -> None:
    """Raises Conflict when the lifecycle does not allow it."""
    row = session.get_one(PaymentRow, payment_id)
    row.disposition = PAYMENT.next(Disposition(row.disposition), event)
    row.reason, row.updated_at = reason or row.reason, now
    session.add(row)
    session.flush()


def matched(session: Session, invoice_id: int) -> list[tuple[Payment, Incoming]]:
    """An invoice's payments that stand, in chain order. Decimals are left for the caller, who knows the document."""
    rows = session.exec(
        select(PaymentRow, TransferRow)
        .join(TransferRow, col(TransferRow.id) == PaymentRow.transfer_id)
        .where(PaymentRow.invoice_id == invoice_id, PaymentRow.disposition == Disposition.MATCHED)
        .order_by(
            col(TransferRow.mined_at),
            col(TransferRow.chain_id),
            col(TransferRow.block_number),
            col(TransferRow.log_index),
        )
    ).all()
    used = credit_used(session, [transfer.id for _, transfer in rows if transfer.id is not None])
    return [
        (
            payment_of(row),
            Incoming(
                row.id or 0,
                (transfer.chain_id, transfer.token_address),
                0,
                transfer.units,
                transfer.mined_at,
                used.get(transfer.id or 0, 0),
                PAR if row.rate is None else row.rate,
            ),
        )
        for row, transfer in rows
    ]


def credit_used(session: Session, transfer_ids: Sequence[int]) -> dict[int, int]:
    """{transfer id: what was used of the credit that came out of it}."""
    rows = session.execute(
        text(
            "SELECT c.transfer_id, sum(u.units) AS units FROM credit_use u JOIN tenant_credit c ON c.id = u.credit_id"
            " WHERE c.transfer_id = ANY(:ids) GROUP BY c.transfer_id"
        ),
        {"ids": list(transfer_ids)},
    )
    return {row.transfer_id: int(row.units) for row in rows}


def write(session: Session, allocation: Allocation, currency: str, now: datetime) -> None:
    row = session.get_one(PaymentRow, allocation.payment_id)
    row.kind, row.late, row.currency = allocation.kind, allocation.late, currency
    row.value_units, row.applied_units = allocation.value, allocation.applied
    row.credited_units, row.written_off_units = allocation.credited, allocation.written_off
    row.fx_units, row.updated_at = allocation.fx, now
    session.add(row)
    session.flush()


def give_rate(session: Session, payment_id: int, rate: Rate) -> None:
    """Record what a payment is valued at, who says so, and since when. It stays as long as the payment stands."""
    row = session.get_one(PaymentRow, payment_id)
    row.rate, row.rate_source, row.rate_at = rate.value, rate.source, rate.at
    session.add(row)
    session.flush()


def give_tenant(session: Session, payment_id: int, tenant_id: int) -> None:
    """A person found out whose payment it is, where nobody knew."""
    row = session.get_one(PaymentRow, payment_id)
    row.tenant_id = row.tenant_id or tenant_id
    session.add(row)
    session.flush()


def clear(session: Session, payment_id: int, now: datetime) -> None:
    """A payment that was taken back is worth nothing."""
    row = session.get_one(PaymentRow, payment_id)
    row.value_units = row.applied_units = row.credited_units = row.written_off_units = row.fx_units = 0
    row.updated_at = now
    session.add(row)
    session.flush()


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked. One question is asked once, however often it comes up."""

    kind: str
    subject: str
    detail: str
    suggestion: str
    transfer_id: int | None = None
    invoice_id: int | None = None
    tenant_id: int | None = None


def ask(session: Session, question: Question, now: datetime) -> None:
    found = session.exec(
        select(ExceptionRow.id).where(
            ExceptionRow.kind == question.kind,
            ExceptionRow.subject == question.subject,
            ExceptionRow.status == "open",
        )
    ).first()
    if found is None:
        session.add(ExceptionRow(**asdict(question), created_at=now))
        session.flush()


def keep_asking(session: Session, question: Question, now: datetime) -> bool:
    """Ask, unless it is asked; what is open is told in the newest words. What a person has answered is not asked again.

    Returns whether it is a new question.
    """
    row = session.exec(
        select(ExceptionRow)
        .where(
            ExceptionRow.kind == question.kind,
            ExceptionRow.subject == question.subject,
            ExceptionRow.resolution != OBSOLETE,
        )
        .order_by(col(ExceptionRow.id).desc())
        .limit(1)
    ).first()
    if row is None:
        ask(session, question, now)
    elif row.status == "open":
        row.detail = question.detail
        session.add(row)
        session.flush()
    return row is None


def ask_anew(session: Session, question: Question, now: datetime) -> None:
    """Ask, unless it is asked; what a person has answered is asked again once there is something else to tell."""
    row = session.exec(
        select(ExceptionRow)
        .where(ExceptionRow.kind == question.kind, ExceptionRow.subject == question.subject)
        .order_by(col(ExceptionRow.id).desc())
        .limit(1)
    ).first()
    if row is not None and (row.status == "open" or (row.detail == question.detail and row.resolution != OBSOLETE)):
        keep_asking(session, question, now)
    else:
        ask(session, question, now)


def drop(session: Session, kind: str, subjects: Sequence[str], reason: str, now: datetime) -> None:
    """Nothing is left of these subjects: close what is open, and what was only acknowledged."""
    undecided = (col(ExceptionRow.status) == "open") | (col(ExceptionRow.resolution) == "acknowledge")
    for row in session.exec(
        select(ExceptionRow).where(ExceptionRow.kind == kind, col(ExceptionRow.subject).in_(subjects), undecided)
    ):
        _close(session, row, reason, now)


def asked_about(session: Session, kind: str, prefix: str) -> list[str]:
    """The subjects, of those that begin so, of questions that are open."""
    return list(
        session.exec(
            select(ExceptionRow.subject).where(
                ExceptionRow.kind == kind,
                col(ExceptionRow.subject).startswith(prefix, autoescape=True),
                ExceptionRow.status == "open",
            )
        )
    )


def withdraw(session: Session, kind: str, subject: str, reason: str, now: datetime) -> None:
    """Close an open exception that nothing is left of."""
    for row in session.exec(
        select(ExceptionRow).where(
            ExceptionRow.kind == kind, ExceptionRow.subject == subject, ExceptionRow.status == "open"
        )
    ):
        _close(session, row, reason, now)


def answer(session: Session, exception_id: int, *, resolution: str, reason: str, actor: str, now: datetime) -> Question:
    """Close an open exception, and return what was asked. What was merely acknowledged may still be decided.

    Raises NotFound, or Conflict when somebody was faster.
    """
    row = session.exec(select(ExceptionRow).where(ExceptionRow.id == exception_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"there is no exception {exception_id}", remedy="see: stablemeter exception list")
    if row.status != "open" and (row.resolution != "acknowledge" or resolution == "acknowledge"):
        raise Conflict(f"exception {exception_id} was resolved by {row.resolved_by} ({row.resolution})")
    row.status, row.resolution, row.reason = "resolved", resolution, reason
    row.resolved_by, row.resolved_at = actor, now
    session.add(row)
    session.flush()
    return Question(row.kind, row.subject, row.detail, row.suggestion, row.transfer_id, row.invoice_id, row.tenant_id)


def close_exceptions(session: Session, transfer_id: int, reason: str, now: datetime) -> None:
    """The transfer that an exception was about is gone."""
    undecided = (col(ExceptionRow.status) == "open") | (col(ExceptionRow.resolution) == "acknowledge")
    for row in session.exec(select(ExceptionRow).where(ExceptionRow.transfer_id == transfer_id, undecided)):
        _close(session, row, reason, now)


def _close(session: Session, row: ExceptionRow, reason: str, now: datetime) -> None:
    row.status, row.resolution, row.reason = "resolved", OBSOLETE, reason
    row.resolved_by, row.resolved_at = "daemon", now
    session.add(row)
    session.flush()


def exceptions(
    session: Session,
    *,
    status: str | None = "open",
    after_id: int = 0,
    limit: int = 1000,
    only: int | None = None,
    kind: str | None = None,
) -> list[dict[str, Any]]:
    """Exceptions with the tenant, invoice and transaction that they are about, by age; or only the one of an id."""
    query = (
        select(ExceptionRow, TenantRow.slug, InvoiceRow.number, TransferRow.tx_hash)
        .join(TenantRow, col(TenantRow.id) == ExceptionRow.tenant_id, isouter=True)
        .join(InvoiceRow, col(InvoiceRow.id) == ExceptionRow.invoice_id, isouter=True)
        .join(TransferRow, col(TransferRow.id) == ExceptionRow.transfer_id, isouter=True)
        .where(col(ExceptionRow.id) > after_id)
        .order_by(col(ExceptionRow.id))
        .limit(limit)
    )
    if status is not None:
        query = query.where(ExceptionRow.status == status)
    if only is not None:
        query = query.where(ExceptionRow.id == only)
    if kind is not None:
        query = query.where(ExceptionRow.kind == kind)
    return [
        {
            **row.model_dump(exclude={"subject", "transfer_id", "invoice_id", "tenant_id"}),
            "tenant": slug,
            "invoice": number,
            "tx_hash": tx_hash,
        }
        for row, slug, number, tx_hash in session.exec(query)
    ]


def transfer_of(session: Session, exception_id: int) -> int | None:
    """The transfer that an exception is about."""
    return session.exec(select(ExceptionRow.transfer_id).where(ExceptionRow.id == exception_id)).first()

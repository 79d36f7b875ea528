"""Rows of tenants' credit: what was granted, what was used of it, and what is left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing.db.tables.invoicing import CreditUseRow, TenantCreditRow
from billing.invoicing.draft import Credit


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

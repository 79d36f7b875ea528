"""Rows of tenants' credit: what was granted, what was used of it, and what is left."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict
from billing.db.tables.invoicing import CreditUseRow, TenantCreditRow
from billing.invoicing.draft import Credit, CreditOrder


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


def holders(session: Session, tenant_ids: Collection[int]) -> set[int]:
    """Those of the tenants that were ever given credit."""
    rows = session.exec(select(TenantCreditRow.tenant_id).where(col(TenantCreditRow.tenant_id).in_(tenant_ids)))
    return set(rows)


def _used(session: Session, credit_ids: Sequence[int]) -> dict[int, int]:
    rows = session.exec(
        select(CreditUseRow.credit_id, func.sum(CreditUseRow.units))
        .where(col(CreditUseRow.credit_id).in_(credit_ids))
        .group_by(col(CreditUseRow.credit_id))
    )
    return {credit_id: int(units) for credit_id, units in rows}


def credits_of(
    session: Session, tenant_id: int, *, after_id: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """All credit that a tenant was ever given, and what is left of it, by age."""
    rows = session.exec(
        select(TenantCreditRow)
        .where(TenantCreditRow.tenant_id == tenant_id, col(TenantCreditRow.id) > after_id)
        .order_by(col(TenantCreditRow.id))
        .limit(limit)
    ).all()
    used = _used(session, [row.id for row in rows if row.id is not None])
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "currency": row.currency,
            "created_at": row.created_at,
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


def lock(session: Session, invoice_id: int) -> None:
    """Hold the credit that came out of an invoice's payments: what was used of it must not change while the payments are
    allocated anew."""
    session.execute(
        text(
            "SELECT c.id FROM tenant_credit c JOIN payment p ON p.transfer_id = c.transfer_id"
            " WHERE p.invoice_id = :invoice OR p.id IN (SELECT a.payment_id FROM assignment a"
            "  WHERE a.invoice_id = :invoice AND a.ended_at IS NULL) ORDER BY c.id FOR UPDATE OF c"
        ),
        {"invoice": invoice_id},
    )


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
        row = _row(grant, rest, now)
        row.transfer_id, row.final_at = transfer_id, now if grant.final else None
        session.add(row)
        session.flush()
        if grant.final:
            _cover(session, row, now)
    session.flush()


def give(session: Session, grant: Grant, now: datetime) -> None:
    """Credit that comes out of no transfer: promotional. Raises Conflict when the tenant was given credit by that reference."""
    session.execute(text("SELECT id FROM tenant WHERE id = :tenant FOR NO KEY UPDATE"), {"tenant": grant.tenant_id})
    taken = session.exec(
        select(TenantCreditRow.id).where(
            TenantCreditRow.tenant_id == grant.tenant_id,
            TenantCreditRow.reference == grant.reference,
            col(TenantCreditRow.reversed_at).is_(None),
        )
    ).first()
    if taken is not None:
        raise Conflict(f"{grant.reference} names credit of this tenant already", remedy="use another reference")
    row = _row(grant, grant.units, now)
    row.final_at = now
    session.add(row)
    session.flush()
    _cover(session, row, now)


def used_of(session: Session, transfer_id: int) -> int:
    """What invoices use of the credit that came out of a transfer."""
    ids = session.exec(select(TenantCreditRow.id).where(TenantCreditRow.transfer_id == transfer_id)).all()
    return sum(_used(session, [one for one in ids if one is not None]).values())


def lack(session: Session, grant: Grant, now: datetime) -> Credit:
    """Credit that a restored invoice used and that the database does not know, or not all of it.

    It can never be used again, and in the books it is missing: the tenant used more than it holds. Once the transfer
    behind it was read again and is final, `_cover` makes this use one of the transfer's own credit.
    """
    row = _row(grant, grant.units, now)
    row.reversed_at = now
    session.add(row)
    session.flush()
    return Credit(row.id or 0, row.kind, row.reference, row.units)


def _cover(session: Session, credit: TenantCreditRow, now: datetime) -> None:
    """What restored invoices used of a transaction's credit before it was known, they used of this credit."""
    assert credit.id is not None
    lacking = session.exec(
        select(TenantCreditRow.id)
        .where(
            TenantCreditRow.tenant_id == credit.tenant_id,
            TenantCreditRow.kind == credit.kind,
            TenantCreditRow.currency == credit.currency,
            TenantCreditRow.reference == credit.reference,
            col(TenantCreditRow.transfer_id).is_(None),
            col(TenantCreditRow.reversed_at).is_not(None),
        )
        .with_for_update()
    ).all()
    uses = session.exec(
        select(CreditUseRow.credit_id, CreditUseRow.invoice_id, func.sum(CreditUseRow.units))
        .where(col(CreditUseRow.credit_id).in_(lacking))
        .group_by(col(CreditUseRow.credit_id), col(CreditUseRow.invoice_id))
        .order_by(col(CreditUseRow.credit_id), col(CreditUseRow.invoice_id))
    ).all()
    left = credit.units - _used(session, [credit.id]).get(credit.id, 0)
    for credit_id, invoice_id, units in uses:
        assert invoice_id is not None  # only invoices are restored
        moved = min(int(units), left)
        if moved > 0:
            left -= moved
            use(session, [Credit(credit_id, credit.kind, credit.reference, -moved)], invoice_id, now)
            use(session, [Credit(credit.id, credit.kind, credit.reference, moved)], invoice_id, now)
    session.flush()


def _row(grant: Grant, units: int, now: datetime) -> TenantCreditRow:
    return TenantCreditRow(
        tenant_id=grant.tenant_id,
        kind=grant.kind,
        currency=grant.currency,
        units=units,
        reference=grant.reference,
        created_at=now,
    )


def finalise_credit(session: Session, transfer_id: int, now: datetime) -> None:
    """The transfer behind some credit became final: the credit may be used."""
    rows = session.exec(
        select(TenantCreditRow).where(
            TenantCreditRow.transfer_id == transfer_id,
            col(TenantCreditRow.final_at).is_(None),
            col(TenantCreditRow.reversed_at).is_(None),
        )
    ).all()
    for row in rows:
        row.final_at = now
        session.add(row)
        _cover(session, row, now)


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


def give_back(session: Session, invoice_id: int, now: datetime, most: int | None = None) -> dict[str, int]:
    """Credit that an invoice had used is held again: all of it (the invoice is void), or `most` of it, and then what is used
    last comes back first. Of a row that was replaced meanwhile, by granting it anew; what was lacking is simply not lacking
    any more. Returns what came back, by kind."""
    rows = session.exec(
        select(TenantCreditRow)
        .where(col(TenantCreditRow.id).in_(select(CreditUseRow.credit_id).where(CreditUseRow.invoice_id == invoice_id)))
        .order_by(col(TenantCreditRow.id))
        .with_for_update()
    ).all()
    rest, back = most, dict[str, int]()
    for held in sorted(rows, key=lambda row: (-CreditOrder[row.kind], -(row.id or 0))):
        used = _used_by(session, held, invoice_id)
        units = used if rest is None else min(used, rest)
        if units <= 0:
            continue
        rest = None if rest is None else rest - units
        back[held.kind] = back.get(held.kind, 0) + units
        use(session, [Credit(held.id or 0, held.kind, held.reference, -units)], invoice_id, now)
        if held.reversed_at is not None and held.transfer_id is not None:
            anew = held.model_dump(exclude={"id", "reversed_at"})
            session.add(TenantCreditRow(**{**anew, "units": units, "created_at": now}))
    session.flush()
    return back


def _used_by(session: Session, credit: TenantCreditRow, invoice_id: int) -> int:
    """What an invoice uses of a credit."""
    of_both = (CreditUseRow.credit_id == credit.id, CreditUseRow.invoice_id == invoice_id)
    return int(session.exec(select(func.coalesce(func.sum(CreditUseRow.units), 0)).where(*of_both)).one())

"""Rows of payees."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address
from billing.db.tables.tenants import TenantRow
from billing.db.tables.treasury import PayeeRow
from billing.treasury.payee import Payee, PayeeState


def propose(session: Session, tenant_id: int, place: tuple[int, Address], why: tuple[str, str, datetime]) -> int:
    """`place` is (chain id, address), `why` (reason, who, when). Raises Conflict when it is proposed or confirmed already."""
    found = session.exec(
        select(PayeeRow.id).where(
            PayeeRow.tenant_id == tenant_id,
            PayeeRow.chain_id == place[0],
            PayeeRow.address == place[1],
            col(PayeeRow.revoked_at).is_(None),
        )
    ).first()
    if found is not None:
        raise Conflict(f"that address is payee {found} already", remedy="stablemeter payee list")
    row = PayeeRow(
        tenant_id=tenant_id,
        chain_id=place[0],
        address=place[1],
        reason=why[0],
        proposed_by=why[1],
        proposed_at=why[2],
    )
    session.add(row)
    session.flush()
    return row.id or 0


def hold(session: Session, payee_id: int) -> Payee:
    """A payee, held for this transaction. Raises NotFound."""
    if session.exec(select(PayeeRow.id).where(PayeeRow.id == payee_id).with_for_update()).first() is None:
        raise NotFound(f"there is no payee {payee_id}", remedy="see: stablemeter payee list")
    (found,) = listed(session, ids=[payee_id])
    return found


def confirm(session: Session, payee: Payee, actor: str, now: datetime) -> None:
    """Raises Conflict while the tenant has another confirmed payee on that chain."""
    other = session.exec(
        select(PayeeRow.id).where(
            PayeeRow.tenant_id == payee.tenant_id,
            PayeeRow.chain_id == payee.chain_id,
            col(PayeeRow.confirmed_at).is_not(None),
            col(PayeeRow.revoked_at).is_(None),
        )
    ).first()
    if other is not None:
        raise Conflict(f"{payee.tenant} has payee {other} on that chain", remedy=f"stablemeter payee revoke {other}")
    row = session.get_one(PayeeRow, payee.id)
    row.confirmed_by, row.confirmed_at = actor, now
    session.add(row)
    session.flush()


def revoke(session: Session, payee: Payee, actor: str, now: datetime) -> None:
    row = session.get_one(PayeeRow, payee.id)
    row.revoked_by, row.revoked_at = actor, now
    session.add(row)
    session.flush()


def listed(
    session: Session,
    *,
    ids: Sequence[int] | None = None,
    everything: bool = False,
    after_id: int = 0,
    limit: int = 10_000,
) -> list[Payee]:
    """By age; those that were revoked only on demand, or by id."""
    query = (
        select(PayeeRow, TenantRow.slug)
        .join(TenantRow, col(TenantRow.id) == PayeeRow.tenant_id)
        .where(col(PayeeRow.id) > after_id)
        .order_by(col(PayeeRow.id))
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        query = query.where(col(PayeeRow.id).in_(ids))
    elif not everything:
        query = query.where(col(PayeeRow.revoked_at).is_(None))
    return [_payee(row, slug) for row, slug in session.exec(query)]


def confirmed(session: Session, chain_id: int) -> dict[int, Payee]:
    """{tenant id: its confirmed payee on a chain}."""
    found = listed(session)
    return {one.tenant_id: one for one in found if one.chain_id == chain_id and one.state is PayeeState.CONFIRMED}


def ever_confirmed(session: Session, tenant_id: int, chain_id: int, address: Address) -> bool:
    """Also when it was revoked since: a transaction may have been on its way."""
    query = select(PayeeRow.id).where(
        PayeeRow.tenant_id == tenant_id,
        PayeeRow.chain_id == chain_id,
        PayeeRow.address == address,
        col(PayeeRow.confirmed_at).is_not(None),
    )
    return session.exec(query).first() is not None


def _payee(row: PayeeRow, slug: str) -> Payee:
    return Payee(
        row.id or 0,
        slug,
        row.tenant_id,
        row.chain_id,
        Address(row.address),
        row.reason,
        row.proposed_by,
        row.proposed_at,
        row.confirmed_by,
        row.confirmed_at,
        row.revoked_by,
        row.revoked_at,
    )

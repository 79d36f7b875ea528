"""Rows of payees, and the treasury's transfers to them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address, Hash32, checksum
from billing.db.tables.owners import OwnerRow, PayeeRow
from billing.owners.payout import Payee
from billing.owners.postings import PAYOUT
from billing.owners.share import Owner
from billing.treasury.payee import require_another


def propose(session: Session, owner: Owner, chain_id: int, address: Address, actor: str, now: datetime) -> None:
    """Propose an address. It takes the place of what was proposed before and not confirmed. Raises Conflict when it is the one in
    force."""
    for row in _rows(session, owner.id, chain_id):
        if row.confirmed_at is not None and row.address == address:
            raise Conflict(f"{owner.slug} is paid at {checksum(address)} already")
        if row.confirmed_at is None:
            row.ended_at = now
            session.add(row)
    session.flush()
    session.add(PayeeRow(owner_id=owner.id, chain_id=chain_id, address=address, proposed_by=actor, proposed_at=now))
    session.flush()


def confirm(session: Session, owner: Owner, chain_id: int, address: Address, actor: str, now: datetime) -> None:
    """Confirm what somebody else proposed; the address before it ends. Raises NotFound when this address is not proposed,
    Conflict when the same person proposed it."""
    rows = _rows(session, owner.id, chain_id)
    proposed = next((row for row in rows if row.confirmed_at is None and row.address == address), None)
    if proposed is None:
        raise NotFound(f"{checksum(address)} is not proposed for {owner.slug}", remedy="see: stablemeter owner payees")
    require_another(proposed.proposed_by, actor, f"{checksum(address)} for {owner.slug}")
    for row in rows:
        if row is not proposed:
            row.ended_at = now
            session.add(row)
    session.flush()
    proposed.confirmed_by, proposed.confirmed_at = actor, now
    session.add(proposed)
    session.flush()


def _rows(session: Session, owner_id: int, chain_id: int) -> Sequence[PayeeRow]:
    """The owner's present payees on a chain, locked: of two people at once one waits, and then sees what the other did."""
    session.exec(select(OwnerRow).where(OwnerRow.id == owner_id).with_for_update()).one()
    return session.exec(
        select(PayeeRow)
        .where(PayeeRow.owner_id == owner_id, PayeeRow.chain_id == chain_id, col(PayeeRow.ended_at).is_(None))
        .order_by(col(PayeeRow.id))
    ).all()


def listed(session: Session, *, owner_id: int | None = None, chain_id: int | None = None) -> list[Payee]:
    """Every payee that there ever was, oldest first: of an owner, of a chain."""
    query = (
        select(PayeeRow, OwnerRow.slug).join(OwnerRow, col(OwnerRow.id) == PayeeRow.owner_id).order_by(col(PayeeRow.id))
    )
    if owner_id is not None:
        query = query.where(PayeeRow.owner_id == owner_id)
    if chain_id is not None:
        query = query.where(PayeeRow.chain_id == chain_id)
    return [_payee(row, slug) for row, slug in session.exec(query)]


def _payee(row: PayeeRow, owner: str) -> Payee:
    return Payee(
        row.id or 0,
        owner,
        row.chain_id,
        Address(row.address),
        row.proposed_by,
        row.proposed_at,
        row.confirmed_by or "",
        row.confirmed_at,
        row.ended_at,
    )


def unmarked(session: Session, owner_id: int, chain_id: int) -> list[Hash32]:
    """Transactions in which a treasury sent something to an address of an owner, since that was confirmed, and that nobody
    marked as a payout."""
    rows = session.execute(
        text(
            "SELECT DISTINCT t.tx_hash FROM transfer t"
            " JOIN payment_address a ON a.address = t.from_address AND a.kind = 'treasury'"
            " JOIN owner_payee p ON p.address = t.to_address AND p.chain_id = t.chain_id AND p.owner_id = :owner"
            "  AND p.confirmed_at <= t.mined_at"
            " WHERE t.chain_id = :chain AND t.state <> 'orphaned' AND NOT EXISTS ("
            "  SELECT FROM entry e WHERE e.transfer_id = t.id AND e.incarnation = t.incarnation AND e.kind = :payout)"
            " ORDER BY 1"
        ),
        {"owner": owner_id, "chain": chain_id, "payout": PAYOUT},
    )
    return [Hash32(row.tx_hash) for row in rows]


def treasuries(session: Session) -> set[Address]:
    """Every address that ever was a treasury."""
    rows = session.execute(text("SELECT address FROM payment_address WHERE kind = 'treasury'"))
    return {Address(row.address) for row in rows}

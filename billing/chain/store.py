"""Rows of the cursor, blocks and transfers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.chain.block import Block, Log
from billing.chain.lifecycle import ChainState
from billing.chain.transfer import Transfer
from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address, Hash32
from billing.db.tables.chain import BlockRow, ChainStateRow, TransferRow


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including this block was read. `stopped` says why a chain waits for a person."""

    chain_id: int
    start: int
    number: int
    hash: Hash32
    mined_at: datetime
    final: int
    stopped: str
    rewind_to: datetime | None


def cursor(session: Session, chain_id: int) -> Cursor | None:
    row = session.get(ChainStateRow, chain_id)
    return None if row is None else _cursor(row)


def cursors(session: Session) -> list[dict[str, Any]]:
    rows = session.exec(select(ChainStateRow).order_by(col(ChainStateRow.chain_id)))
    return [row.model_dump() for row in rows]


def _cursor(row: ChainStateRow) -> Cursor:
    return Cursor(
        row.chain_id,
        row.start_number,
        row.cursor_number,
        Hash32(row.cursor_hash),
        row.cursor_mined_at,
        row.final_number,
        row.stopped,
        row.rewind_to,
    )


def begin(session: Session, chain_id: int, name: str, at: Block, now: datetime) -> Cursor:
    """Start to follow a chain after block `at`."""
    row = ChainStateRow(
        chain_id=chain_id,
        name=name,
        start_number=at.number + 1,
        cursor_number=at.number,
        cursor_hash=at.hash,
        cursor_mined_at=at.mined_at,
        final_number=-1,
        updated_at=now,
    )
    session.add(row)
    add_blocks(session, chain_id, [at])
    session.flush()
    return _cursor(row)


def advance(session: Session, before: Cursor, to: Block, now: datetime) -> None:
    """Move the cursor, if it is where the caller saw it. Raises Conflict when somebody else moved it."""
    moved = session.execute(
        text(
            "UPDATE chain_state SET cursor_number = :number, cursor_hash = :hash, cursor_mined_at = :mined, updated_at = :now"
            " WHERE chain_id = :chain AND cursor_number = :was AND cursor_hash = :was_hash AND rewind_to IS NULL"
        ),
        {
            "number": to.number,
            "hash": to.hash,
            "mined": to.mined_at,
            "now": now,
            "chain": before.chain_id,
            "was": before.number,
            "was_hash": before.hash,
        },
    )
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict(f"the cursor of chain {before.chain_id} was moved by somebody else")


def rewind(session: Session, chain_id: int, to: Block, now: datetime) -> None:
    """Read again everything after block `to`. What is known stays as it is."""
    row = session.get_one(ChainStateRow, chain_id)
    row.cursor_number, row.cursor_hash, row.cursor_mined_at = to.number, to.hash, to.mined_at
    row.rewind_to, row.stopped, row.updated_at = None, "", now
    session.add(row)
    add_blocks(session, chain_id, [to])


def request_rewind(session: Session, to: datetime) -> None:
    """Ask every chain to read again from a time on."""
    session.execute(
        text("UPDATE chain_state SET rewind_to = least(coalesce(rewind_to, :to), :to)"),
        {"to": to},
    )


def stop(session: Session, chain_id: int, why: str, now: datetime) -> None:
    row = session.get_one(ChainStateRow, chain_id)
    row.stopped, row.updated_at = why, now
    session.add(row)


def add_blocks(session: Session, chain_id: int, blocks: Iterable[Block]) -> None:
    values = [
        {"chain_id": chain_id, "number": b.number, "hash": b.hash, "parent_hash": b.parent_hash, "mined_at": b.mined_at}
        for b in blocks
    ]
    if values:
        statement = insert(BlockRow).values(values)
        changed = {name: statement.excluded[name] for name in ("hash", "parent_hash", "mined_at")}
        session.execute(statement.on_conflict_do_update(index_elements=["chain_id", "number"], set_=changed))


def blocks_down(session: Session, chain_id: int, from_number: int) -> list[Block]:
    """The remembered blocks at and below a height, newest first."""
    rows = session.exec(
        select(BlockRow)
        .where(BlockRow.chain_id == chain_id, BlockRow.number <= from_number)
        .order_by(col(BlockRow.number).desc())
    )
    return [Block(row.number, Hash32(row.hash), Hash32(row.parent_hash), row.mined_at) for row in rows]


def forget_blocks(session: Session, chain_id: int, *, above: int | None = None, below: int | None = None) -> None:
    """Blocks above a fork, or so old that no reorganisation reaches them."""
    if above is not None:
        session.execute(
            text("DELETE FROM block WHERE chain_id = :chain AND number > :number"), {"chain": chain_id, "number": above}
        )
    if below is not None:
        session.execute(
            text("DELETE FROM block WHERE chain_id = :chain AND number < :number"), {"chain": chain_id, "number": below}
        )


def add_transfers(
    session: Session, chain_id: int, logs: Sequence[Log], mined: dict[int, datetime], now: datetime
) -> int:
    """Store logs. One that was orphaned is seen again, as a new incarnation; one that is known stays as it is.

    Returns how many are new to the chain as we know it.
    """
    changed = 0
    for log in logs:
        row = session.exec(
            select(TransferRow).where(
                TransferRow.chain_id == chain_id,
                TransferRow.block_hash == log.block_hash,
                TransferRow.log_index == log.log_index,
            )
        ).first()
        if row is None:
            session.add(
                TransferRow(
                    chain_id=chain_id,
                    block_hash=log.block_hash,
                    log_index=log.log_index,
                    block_number=log.block_number,
                    mined_at=mined[log.block_number],
                    tx_hash=log.tx_hash,
                    token_address=log.token,
                    from_address=log.sender,
                    to_address=log.receiver,
                    units=log.units,
                    state=ChainState.SEEN,
                    seen_at=now,
                    state_at=now,
                )
            )
        elif row.state == ChainState.ORPHANED:
            row.state, row.state_at, row.settled = ChainState.SEEN, now, False
            row.incarnation += 1
            session.add(row)
        else:
            continue
        changed += 1
        session.flush()
    return changed


def orphan_above(session: Session, chain_id: int, number: int, now: datetime) -> int:
    """Everything that was seen above a fork is no longer on the chain. Raises Conflict when some of it was final."""
    final = session.exec(
        select(TransferRow).where(
            TransferRow.chain_id == chain_id, TransferRow.block_number > number, TransferRow.state == ChainState.FINAL
        )
    ).first()
    if final is not None:
        raise Conflict(f"the chain took back block {final.block_number}, which was final")
    rows = session.exec(
        select(TransferRow).where(
            TransferRow.chain_id == chain_id,
            TransferRow.block_number > number,
            TransferRow.state != ChainState.ORPHANED,
        )
    ).all()
    for row in rows:
        row.state, row.state_at, row.settled = ChainState.ORPHANED, now, False
        session.add(row)
    session.flush()
    return len(rows)


def move_up_to(
    session: Session, chain_id: int, state: ChainState, after: ChainState, number: int, now: datetime
) -> int:
    """Transfers in blocks up to a height move from one state to the next."""
    moved = session.execute(
        text(
            "UPDATE transfer SET state = :after, state_at = :now, settled = false"
            " WHERE chain_id = :chain AND state = :state AND block_number <= :number"
        ),
        {"chain": chain_id, "state": state, "after": after, "number": number, "now": now},
    )
    return int(moved.rowcount)  # type: ignore[attr-defined]


def set_final(session: Session, chain_id: int, number: int) -> None:
    session.execute(
        text("UPDATE chain_state SET final_number = greatest(final_number, :number) WHERE chain_id = :chain"),
        {"chain": chain_id, "number": number},
    )


def unsettled(session: Session, limit: int) -> list[Transfer]:
    """Transfers whose state reconciliation has not dealt with, in chain order: orphans first, so that a transfer that
    moved to another block is taken back before it is booked again."""
    rows = session.exec(
        select(TransferRow)
        .where(col(TransferRow.settled).is_(False))
        .order_by(
            (col(TransferRow.state) != ChainState.ORPHANED),
            col(TransferRow.chain_id),
            col(TransferRow.block_number),
            col(TransferRow.log_index),
        )
        .limit(limit)
        .with_for_update()
    )
    return [_transfer(row) for row in rows]


def settle(session: Session, transfer_id: int) -> None:
    row = session.get_one(TransferRow, transfer_id)
    row.settled = True
    session.add(row)


def by_id(session: Session, transfer_id: int) -> Transfer:
    row = session.get(TransferRow, transfer_id)
    if row is None:
        raise NotFound(f"there is no transfer {transfer_id}")
    return _transfer(row)


def of_address(session: Session, address: Address) -> list[Transfer]:
    """Every transfer to or from an address, orphaned ones too, in chain order."""
    rows = session.exec(
        select(TransferRow)
        .where((col(TransferRow.to_address) == address) | (col(TransferRow.from_address) == address))
        .order_by(col(TransferRow.chain_id), col(TransferRow.block_number), col(TransferRow.log_index))
    )
    return [_transfer(row) for row in rows]


def of_transaction(session: Session, tx_hash: Hash32) -> list[Transfer]:
    rows = session.exec(select(TransferRow).where(TransferRow.tx_hash == tx_hash).order_by(col(TransferRow.log_index)))
    return [_transfer(row) for row in rows]


def balances(session: Session, chain_id: int, up_to: int) -> dict[tuple[Address, Address], int]:
    """{(address, token): units} that transfers up to a block left on every address that was paid or paid out."""
    rows = session.execute(
        text(
            "SELECT address, token_address, sum(units) AS units FROM ("
            " SELECT to_address AS address, token_address, units FROM transfer"
            "  WHERE chain_id = :chain AND block_number <= :number AND state <> 'orphaned'"
            " UNION ALL SELECT from_address, token_address, -units FROM transfer"
            "  WHERE chain_id = :chain AND block_number <= :number AND state <> 'orphaned') AS moved"
            " WHERE address IN (SELECT address FROM payment_address) GROUP BY address, token_address"
        ),
        {"chain": chain_id, "number": up_to},
    )
    return {(Address(r.address), Address(r.token_address)): int(r.units) for r in rows}


def _transfer(row: TransferRow) -> Transfer:
    return Transfer(
        id=row.id or 0,
        chain_id=row.chain_id,
        block_number=row.block_number,
        block_hash=Hash32(row.block_hash),
        log_index=row.log_index,
        mined_at=row.mined_at,
        tx_hash=Hash32(row.tx_hash),
        token=Address(row.token_address),
        sender=Address(row.from_address),
        receiver=Address(row.to_address),
        units=row.units,
        state=ChainState(row.state),
        incarnation=row.incarnation,
        seen_at=row.seen_at,
    )

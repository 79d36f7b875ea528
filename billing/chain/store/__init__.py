"""Rows of the cursor, blocks and transfers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, text
from sqlmodel import Session, col, select

from billing.chain.block import Block, Log
from billing.chain.lifecycle import ChainState
from billing.chain.store import proofs, readings
from billing.chain.transfer import Transfer
from billing.core.errors import Conflict, NotFound
from billing.core.onchain import Address, Hash32
from billing.db.tables.chain import BlockRow, ChainStateRow, ProofRow, TransferRow


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
    takes_back: bool = False
    """The rewind was asked for by a person: what is not on the chain any more is taken back, even if it was final."""


def cursor(session: Session, chain_id: int) -> Cursor | None:
    row = session.get(ChainStateRow, chain_id)
    return None if row is None else _cursor(row)


def cursors(session: Session) -> list[dict[str, Any]]:
    """Every chain that is followed, with `proven`: how far the audit lane came."""
    rows = session.exec(
        select(ChainStateRow, ProofRow.number)
        .join(ProofRow, col(ProofRow.chain_id) == ChainStateRow.chain_id, isouter=True)
        .order_by(col(ChainStateRow.chain_id))
    )
    return [{**row.model_dump(), "proven": number} for row, number in rows]


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
        row.rewind_takes_back,
    )


def begin(session: Session, chain_id: int, name: str, at: Block, now: datetime) -> Cursor:
    """Start to follow a chain after block `at`, if nobody did yet. Returns the cursor that is in force."""
    begun = session.execute(
        text(
            "INSERT INTO chain_state (chain_id, name, start_number, cursor_number, cursor_hash, cursor_mined_at,"
            " confirmed_number, final_number, confirmed_moved_at, final_moved_at, stopped, rewind_takes_back, updated_at)"
            " VALUES (:chain, :name, :number + 1, :number, :hash, :mined, -1, -1, :now, :now, '', false, :now)"
            " ON CONFLICT DO NOTHING RETURNING chain_id"
        ),
        {
            "chain": chain_id,
            "name": name,
            "number": at.number,
            "hash": at.hash,
            "mined": at.mined_at,
            "now": now,
        },
    ).one_or_none()
    if begun is not None:
        add_blocks(session, chain_id, [at])
    found = cursor(session, chain_id)
    assert found is not None
    return found


def advance(session: Session, before: Cursor, to: Block, now: datetime) -> Cursor:
    """Move the cursor, if it is where the caller saw it. Raises Conflict when somebody else moved it."""
    moved = session.execute(
        text(
            "UPDATE chain_state SET cursor_number = :number, cursor_hash = :hash, cursor_mined_at = :mined, updated_at = :now"
            " WHERE chain_id = :chain AND cursor_number = :was AND cursor_hash = :was_hash"
            " AND rewind_to IS NOT DISTINCT FROM :rewind"
            " RETURNING start_number, final_number, stopped"
        ),
        {
            "number": to.number,
            "hash": to.hash,
            "mined": to.mined_at,
            "now": now,
            "chain": before.chain_id,
            "was": before.number,
            "was_hash": before.hash,
            "rewind": before.rewind_to,
        },
    ).one_or_none()
    if moved is None:
        raise Conflict(f"the cursor of chain {before.chain_id} was moved by somebody else")
    start, final, stopped = moved
    return Cursor(
        before.chain_id, start, to.number, to.hash, to.mined_at, final, stopped, before.rewind_to, before.takes_back
    )


def rewind(session: Session, chain_id: int, to: Block, now: datetime) -> None:
    """Read again everything after block `to`. What is known stays as it is. When a person asked for it, blocks above are
    forgotten, and are final again only when they have become so again."""
    row = session.get_one(ChainStateRow, chain_id)
    if row.rewind_takes_back:
        forget_blocks(session, chain_id, above=to.number)
        row.confirmed_number = min(row.confirmed_number, to.number)
        row.final_number = min(row.final_number, to.number)
        readings.forget_above(session, chain_id, to.number)
    row.cursor_number, row.cursor_hash, row.cursor_mined_at = to.number, to.hash, to.mined_at
    row.rewind_to, row.rewind_takes_back, row.stopped, row.updated_at = None, False, "", now
    session.add(row)
    session.flush()
    add_blocks(session, chain_id, [to])
    proofs.lower(session, chain_id, to.number)


def request_rewind(session: Session, to: datetime) -> None:
    """Ask every chain to read again from a time on."""
    session.execute(text("UPDATE chain_state SET rewind_to = least(coalesce(rewind_to, :to), :to)"), {"to": to})


def rewind_by_hand(session: Session, chain_id: int, to: datetime, now: datetime) -> str:
    """A person asks to read a chain again from a time on, and to take back what is not on it any more, final or not.
    Returns why the chain was stopped; it is followed again."""
    row = session.exec(select(ChainStateRow).where(ChainStateRow.chain_id == chain_id).with_for_update()).one()
    why, row.stopped = row.stopped, ""
    row.rewind_to = to if row.rewind_to is None else min(row.rewind_to, to)
    row.rewind_takes_back, row.updated_at = True, now
    session.add(row)
    return why


def stop(session: Session, chain_id: int, why: str, now: datetime) -> None:
    """Nothing is read until a person says so; a rewind that was asked for is not done."""
    row = session.get_one(ChainStateRow, chain_id)
    row.stopped, row.updated_at = why, now
    if row.rewind_takes_back:
        row.rewind_to, row.rewind_takes_back = None, False
    session.add(row)


def resume(session: Session, chain_id: int, now: datetime) -> str:
    """Follow a stopped chain again. Returns why it was stopped. Raises Conflict when it was not."""
    row = session.get(ChainStateRow, chain_id)
    if row is None or not row.stopped:
        raise Conflict("the chain is not stopped", remedy="see: stablemeter chain status")
    why, row.stopped, row.updated_at = row.stopped, "", now
    session.add(row)
    return why


def add_blocks(session: Session, chain_id: int, blocks: Sequence[Block]) -> None:
    """Remember blocks; one that is known by its number is replaced."""
    session.execute(
        text(
            "INSERT INTO block (chain_id, number, hash, parent_hash, mined_at)"
            " SELECT :chain, * FROM unnest(CAST(:numbers AS bigint[]), CAST(:hashes AS text[]), CAST(:parents AS text[]),"
            " CAST(:mined AS timestamptz[])) ON CONFLICT (chain_id, number) DO UPDATE"
            " SET hash = excluded.hash, parent_hash = excluded.parent_hash, mined_at = excluded.mined_at"
        ),
        {
            "chain": chain_id,
            "numbers": [block.number for block in blocks],
            "hashes": [block.hash for block in blocks],
            "parents": [block.parent_hash for block in blocks],
            "mined": [block.mined_at for block in blocks],
        },
    )


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
    if not logs:
        return 0
    places = {
        "chain": chain_id,
        "now": now,
        "hashes": [log.block_hash for log in logs],
        "indexes": [log.log_index for log in logs],
    }
    again = session.execute(
        text(
            "UPDATE transfer t SET state = 'seen', state_at = :now, settled = false, incarnation = incarnation + 1"
            " FROM unnest(CAST(:hashes AS text[]), CAST(:indexes AS bigint[])) AS log (block_hash, log_index)"
            " WHERE t.chain_id = :chain AND t.block_hash = log.block_hash AND t.log_index = log.log_index"
            " AND t.state = 'orphaned'"
        ),
        places,
    )
    new = session.execute(
        text(
            "INSERT INTO transfer (chain_id, block_hash, log_index, block_number, mined_at, tx_hash, token_address,"
            " from_address, to_address, units, state, incarnation, seen_at, state_at, settled)"
            " SELECT :chain, log.*, 'seen', 1, :now, :now, false FROM unnest(CAST(:hashes AS text[]),"
            " CAST(:indexes AS bigint[]), CAST(:numbers AS bigint[]), CAST(:mined AS timestamptz[]), CAST(:txs AS text[]),"
            " CAST(:tokens AS text[]), CAST(:senders AS text[]), CAST(:receivers AS text[]), CAST(:units AS numeric[])) AS log"
            " ON CONFLICT (chain_id, block_hash, log_index) DO NOTHING"
        ),
        {
            **places,
            "numbers": [log.block_number for log in logs],
            "mined": [mined[log.block_number] for log in logs],
            "txs": [log.tx_hash for log in logs],
            "tokens": [log.token for log in logs],
            "senders": [log.sender for log in logs],
            "receivers": [log.receiver for log in logs],
            "units": [Decimal(log.units) for log in logs],
        },
    )
    return int(again.rowcount) + int(new.rowcount)  # type: ignore[attr-defined]


def orphan_above(session: Session, chain_id: int, number: int, now: datetime) -> int:
    """Everything that was seen above a fork is no longer on the chain. Raises Conflict when some of it was final."""
    return _orphan(session, chain_id, col(TransferRow.block_number) > number, now)


def orphan_blocks(
    session: Session, chain_id: int, hashes: Sequence[Hash32], now: datetime, *, even_final: bool = False
) -> int:
    """Everything that was seen in some blocks is no longer on the chain. Raises Conflict when some of it was final, unless
    a person said that it may be."""
    return _orphan(session, chain_id, col(TransferRow.block_hash).in_(hashes), now, even_final) if hashes else 0


def _orphan(
    session: Session, chain_id: int, where: ColumnElement[bool], now: datetime, even_final: bool = False
) -> int:
    rows = session.exec(
        select(TransferRow).where(
            TransferRow.chain_id == chain_id, where, col(TransferRow.state) != ChainState.ORPHANED
        )
    ).all()
    for row in rows:
        if row.state == ChainState.FINAL and not even_final:
            raise Conflict(f"the chain took back block {row.block_number}, which was final")
        row.state, row.state_at, row.settled = ChainState.ORPHANED, now, False
        session.add(row)
    session.flush()
    return len(rows)


def blocks_with_transfers(session: Session, chain_id: int, span: tuple[int, int]) -> list[tuple[int, Hash32]]:
    """(number, hash) of the blocks from..to in which transfers were seen that stand."""
    rows = session.exec(
        select(TransferRow.block_number, TransferRow.block_hash)
        .where(
            TransferRow.chain_id == chain_id,
            col(TransferRow.block_number).between(*span),
            col(TransferRow.state) != ChainState.ORPHANED,
        )
        .distinct()
        .order_by(col(TransferRow.block_number))
    )
    return [(number, Hash32(block_hash)) for number, block_hash in rows]


def unsettled(session: Session, limit: int, skip: Collection[int] = ()) -> list[Transfer]:
    """Transfers whose state reconciliation has not dealt with, in chain order: orphans first, so that a transfer that
    moved to another block is taken back before it is booked again. `skip` are ids that must wait."""
    rows = session.exec(
        select(TransferRow)
        .where(col(TransferRow.settled).is_(False), col(TransferRow.id).not_in(skip))
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


def unsettle(session: Session, transfer_id: int) -> Transfer:
    """Let reconciliation deal with a transfer again. It is locked, so that nobody takes it back meanwhile."""
    row = session.exec(select(TransferRow).where(TransferRow.id == transfer_id).with_for_update()).one()
    row.settled = False
    session.add(row)
    return _transfer(row)


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

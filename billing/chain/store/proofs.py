"""Rows of the audit lane: how far it came, and what it doubts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.block import Log
from billing.core.errors import Conflict
from billing.core.onchain import Address, Hash32


def proven(session: Session, chain_id: int) -> int | None:
    """The newest block that was read a second time, with everything below it."""
    found: int | None = session.execute(
        text("SELECT number FROM chain_proof WHERE chain_id = :chain"), {"chain": chain_id}
    ).scalar_one_or_none()
    return found


def advance(session: Session, chain_id: int, before: int | None, to: int, now: datetime) -> None:
    """Move on, if it is where the caller saw it. Raises Conflict when somebody else moved it."""
    values = {"chain": chain_id, "before": before, "to": to, "now": now}
    sql = "UPDATE chain_proof SET number = :to, updated_at = :now WHERE chain_id = :chain AND number = :before"
    if before is None:
        sql = "INSERT INTO chain_proof (chain_id, number, updated_at) VALUES (:chain, :to, :now) ON CONFLICT DO NOTHING"
    if session.execute(text(sql), values).rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict(f"the audit lane of chain {chain_id} was moved by somebody else")


def lower(session: Session, chain_id: int, to: int) -> None:
    """What is read again by the tip lane is proven again too."""
    session.execute(
        text("UPDATE chain_proof SET number = :to WHERE chain_id = :chain AND number > :to"),
        {"chain": chain_id, "to": to},
    )


def known(session: Session, chain_id: int, span: tuple[int, int], tokens: Iterable[Address]) -> dict[int, Log]:
    """{transfer id: its log} of the transfers of some tokens that stand in the blocks from..to."""
    rows = session.execute(
        text(
            "SELECT id, block_number, block_hash, log_index, tx_hash, token_address, from_address, to_address, units"
            " FROM transfer WHERE chain_id = :chain AND block_number BETWEEN :first AND :last AND state <> 'orphaned'"
            " AND token_address = ANY(:tokens) ORDER BY id"
        ),
        {"chain": chain_id, "first": span[0], "last": span[1], "tokens": list(tokens)},
    )
    return {
        row.id: Log(
            row.block_number,
            Hash32(row.block_hash),
            row.log_index,
            Hash32(row.tx_hash),
            Address(row.token_address),
            Address(row.from_address),
            Address(row.to_address),
            int(Decimal(row.units)),
        )
        for row in rows
    }


def doubt(session: Session, why: dict[int, str], now: datetime) -> int:
    """Note transfers that were not found as they are stored: {id: why}. Returns how many are new."""
    done = session.execute(
        text(
            "INSERT INTO chain_doubt (transfer_id, why, found_at)"
            " SELECT id, why, :now FROM unnest(CAST(:ids AS bigint[]), CAST(:whys AS text[])) AS one (id, why)"
            " ON CONFLICT (transfer_id) WHERE cleared_at IS NULL DO NOTHING"
        ),
        {"ids": list(why), "whys": list(why.values()), "now": now},
    )
    return int(done.rowcount)  # type: ignore[attr-defined]


def believe(session: Session, ids: Sequence[int], now: datetime) -> None:
    """These were found after all."""
    session.execute(
        text("UPDATE chain_doubt SET cleared_at = :now WHERE transfer_id = ANY(:ids) AND cleared_at IS NULL"),
        {"ids": list(ids), "now": now},
    )

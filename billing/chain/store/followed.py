"""Read models of the chains that are followed: how far, how sure, and what waits there."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session


def chains(session: Session, now: datetime) -> list[dict[str, Any]]:
    """One row a chain; ages are in seconds, `unproven` in final blocks that the audit lane has not read."""
    rows = session.execute(
        text(
            "SELECT c.chain_id, c.name, c.start_number, c.cursor_number, c.cursor_hash, c.cursor_mined_at, c.confirmed_number,"
            " c.final_number, c.confirmed_moved_at, c.final_moved_at, c.stopped, c.rewind_to, c.updated_at,"
            " p.number AS proven_number, p.updated_at AS proven_at,"
            " extract(epoch FROM :now - c.cursor_mined_at)::bigint AS age_seconds,"
            " extract(epoch FROM :now - c.final_moved_at)::bigint AS final_age_seconds,"
            " extract(epoch FROM :now - c.confirmed_moved_at)::bigint AS confirmed_age_seconds,"
            " greatest(0, c.final_number - coalesce(p.number, c.start_number - 1)) AS unproven,"
            " (SELECT max(b.read_at) FROM balance_reading b WHERE b.chain_id = c.chain_id) AS balances_at"
            " FROM chain_state c LEFT JOIN chain_proof p ON p.chain_id = c.chain_id ORDER BY c.chain_id"
        ),
        {"now": now},
    )
    counted = session.execute(
        text(
            "SELECT chain_id, state, count(*) AS number, count(*) FILTER (WHERE NOT settled) AS unsettled"
            " FROM transfer GROUP BY chain_id, state"
        )
    ).all()
    doubts = session.execute(
        text(
            "SELECT t.chain_id, t.tx_hash, x.why, x.found_at FROM chain_doubt x JOIN transfer t ON t.id = x.transfer_id"
            " WHERE x.cleared_at IS NULL ORDER BY x.id LIMIT 100"
        )
    ).all()
    return [
        {
            **row._mapping,
            "transfers": {one.state: one.number for one in counted if one.chain_id == row.chain_id},
            "unsettled": sum(one.unsettled for one in counted if one.chain_id == row.chain_id),
            "doubts": [dict(one._mapping) for one in doubts if one.chain_id == row.chain_id],
        }
        for row in rows
    ]


def tokens(session: Session) -> list[dict[str, Any]]:
    """Every token that was ever listened to."""
    rows = session.execute(
        text("SELECT chain_id, symbol, address, decimals, currency FROM token ORDER BY chain_id, symbol")
    )
    return [dict(row._mapping) for row in rows]

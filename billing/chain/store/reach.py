"""Up to where transfers count, and are final."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.lifecycle import ChainState
from billing.chain.tokens import Token
from billing.core.money import EXACT
from billing.db.tables.chain import ChainStateRow

DECIMALS_MAX: Final = 36
"""Of any token: amounts of several tokens are added up in units of the finest."""


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


def confirm_small(
    session: Session,
    chain_id: int,
    bands: Sequence[tuple[Decimal, int]],
    tokens: Sequence[Token],
    now: datetime,
) -> int:
    """Transfers count that are small enough for the band whose height they have reached. What is small is the sum of what came
    to the invoice's address on this chain, in chain order, up to and including the transfer: many small parts wait like
    the whole. Tokens of one currency are added at par. Several currencies, or a token that is not among `tokens` (not listened to
    any more), are of no known sum, and wait.
    """
    moved = session.execute(
        text(
            "WITH piled AS ("
            "  SELECT t.id, t.state, t.block_number, min(k.currency) OVER piling = max(k.currency) OVER piling AS alike,"
            "         sum(t.units * coalesce(k.scale, 'Infinity')) OVER piling AS amount"
            "    FROM transfer t LEFT JOIN unnest(CAST(:tokens AS text[]), CAST(:scales AS numeric[]),"
            "     CAST(:currencies AS text[])) AS k (address, scale, currency) ON k.address = t.token_address"
            "   WHERE t.chain_id = :chain AND t.state <> 'orphaned' AND t.to_address IN ("
            "         SELECT s.to_address FROM transfer s JOIN payment_address a ON a.address = s.to_address"
            "          WHERE s.chain_id = :chain AND s.state = 'seen' AND a.kind = 'invoice')"
            "  WINDOW piling AS (PARTITION BY t.to_address ORDER BY t.block_number, t.log_index))"
            " UPDATE transfer t SET state = 'confirmed', state_at = :now, settled = false FROM piled p"
            " WHERE p.id = t.id AND p.state = 'seen' AND p.alike AND p.block_number <= (SELECT max(b.height)"
            "   FROM unnest(CAST(:limits AS numeric[]), CAST(:heights AS bigint[])) AS b (up_to, height)"
            "  WHERE p.amount <= b.up_to)"
        ),
        {
            "chain": chain_id,
            "now": now,
            "tokens": [token.address for token in tokens],
            "scales": [Decimal(10) ** (DECIMALS_MAX - token.decimals) for token in tokens],
            "currencies": [token.currency for token in tokens],
            "limits": [Decimal(up_to).scaleb(DECIMALS_MAX, EXACT) for up_to, _ in bands],
            "heights": [height for _, height in bands],
        },
    )
    return int(moved.rowcount)  # type: ignore[attr-defined]


def set_reach(session: Session, chain_id: int, confirmed: int, final: int, now: datetime) -> None:
    """Up to where transfers of any amount count, and are final. Neither ever falls; when each rose last is kept."""
    session.execute(
        text(
            "UPDATE chain_state SET"
            " confirmed_moved_at = CASE WHEN confirmed_number < :confirmed THEN :now ELSE confirmed_moved_at END,"
            " final_moved_at = CASE WHEN final_number < :final THEN :now ELSE final_moved_at END,"
            " confirmed_number = greatest(confirmed_number, :confirmed), final_number = greatest(final_number, :final)"
            " WHERE chain_id = :chain"
        ),
        {"chain": chain_id, "confirmed": confirmed, "final": final, "now": now},
    )


@dataclass(frozen=True, slots=True)
class Still:
    """The height that stands still, and for how long."""

    height: Literal["counting", "final"]
    seconds: int


def still(session: Session, chain_id: int, now: datetime) -> Still:
    """Of the final height, and the one up to which payments count: the one that stands still for longer."""
    row = session.get_one(ChainStateRow, chain_id, populate_existing=True)
    since, height = min((row.final_moved_at, "final"), (row.confirmed_moved_at, "counting"))
    return Still("final" if height == "final" else "counting", int((now - since).total_seconds()))

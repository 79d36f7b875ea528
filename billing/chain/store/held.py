"""Rows of transfers, summed: what is where."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from billing.core.onchain import Address


@dataclass(frozen=True, slots=True)
class Held:
    """What final transfers left on the addresses of a wallet's generation, or in its treasury."""

    generation_id: int
    is_treasury: bool
    chain_id: int
    token: Address
    units: int


def held(session: Session) -> list[Held]:
    """By generation, kind of address, chain and token. What a treasury held before it was watched is not in it."""
    rows = session.execute(
        text(
            "SELECT a.generation_id, a.kind = 'treasury' AS is_treasury, m.chain_id, m.token_address, sum(m.units) AS units"
            " FROM (SELECT to_address AS address, chain_id, token_address, units FROM transfer WHERE state = 'final'"
            "  UNION ALL SELECT from_address, chain_id, token_address, -units FROM transfer WHERE state = 'final') AS m"
            " JOIN payment_address a ON a.address = m.address GROUP BY 1, 2, 3, 4 HAVING sum(m.units) <> 0 ORDER BY 1, 2, 3, 4"
        )
    )
    return [
        Held(row.generation_id, row.is_treasury, row.chain_id, Address(row.token_address), int(row.units))
        for row in rows
    ]

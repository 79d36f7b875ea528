"""Rows of the tokens that were ever listened to."""

from collections.abc import Sequence

from sqlmodel import Session, select

from billing.chain.tokens import Token
from billing.core.errors import Conflict
from billing.core.onchain import Address
from billing.db.tables.chain import TokenRow


def note(session: Session, wanted: Sequence[Token]) -> None:
    """Remember tokens before anything is booked in them. Raises Conflict for one that was known as another."""
    known = {(row.chain_id, row.symbol): row for row in session.exec(select(TokenRow))}
    for token in wanted:
        row = known.get((token.chain_id, token.symbol))
        if row is None:
            session.add(
                TokenRow(
                    chain_id=token.chain_id,
                    address=token.address,
                    symbol=token.symbol,
                    decimals=token.decimals,
                    currency=token.currency,
                )
            )
        elif (row.address, row.decimals, row.currency) != (token.address, token.decimals, token.currency):
            raise Conflict(
                f"{token.symbol} on chain {token.chain_id} is booked as {row.address} with {row.decimals} decimals, worth"
                f" {row.currency}",
                remedy="its books cannot become another token's: put chains.tokens back as it was",
            )
    session.flush()


def known(session: Session) -> dict[tuple[int, Address], Token]:
    """Every token that was ever listened to, by chain and address."""
    return {
        (row.chain_id, Address(row.address)): Token(
            row.chain_id, row.symbol, Address(row.address), row.decimals, currency=row.currency
        )
        for row in session.exec(select(TokenRow))
    }

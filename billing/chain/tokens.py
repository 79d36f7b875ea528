"""The tokens that are listened to on a chain."""

from dataclasses import dataclass
from enum import StrEnum

from billing.core.money import Asset
from billing.core.onchain import Address


class Listing(StrEnum):
    """`accept`: invoices may be paid in it. `watch`: it is noticed and kept for a person, but pays nothing by itself."""

    ACCEPT = "accept"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Token:
    """`currency` is what the token is worth at par."""

    chain_id: int
    symbol: str
    address: Address
    decimals: int
    listing: Listing = Listing.ACCEPT
    currency: str = "USD"
    onchain_symbols: tuple[str, ...] = ()
    """What the contract may call itself; empty: by its symbol."""

    @property
    def asset(self) -> Asset:
        """The ledger's asset: `8453:USDC`."""
        return Asset(f"{self.chain_id}:{self.symbol}", self.decimals)

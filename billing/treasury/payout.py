"""What a refund sends: one ERC-20 transfer to a payee. Pure."""

from dataclasses import dataclass
from typing import Final

from billing.core.onchain import Address, selector, word

GAS_TRANSFER: Final = 80_000
"""What a transfer of a token may use where no node estimates it: tokens behind proxies use up to that."""
_TRANSFER: Final = selector("transfer(address,uint256)")


def transfer_calldata(to: Address, units: int) -> bytes:
    """`transfer(address,uint256)` of a token."""
    return _TRANSFER + word(to) + word(units)


@dataclass(frozen=True, slots=True)
class Payout:
    """One transaction of the treasury: a refund to the payee that two people confirmed."""

    refund: int
    tenant: str
    token: Address
    payee: Address
    units: int

    @property
    def to(self) -> Address:
        """The contract that is called."""
        return self.token

    @property
    def data(self) -> bytes:
        return transfer_calldata(self.payee, self.units)

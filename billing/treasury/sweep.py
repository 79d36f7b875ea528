"""What a sweep moves, what it costs, and how it is cut into transactions. Pure.

Gas per address was measured on a real node (contracts/README.md, "Gas"); `eth_estimateGas` has the last word.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.onchain import Address, Hash32
from billing.wallets.forwarder import flush_calldata
from billing.wallets.wallet import ForwarderWallet

COIN_DECIMALS: Final = 18
"""Of every EVM chain's native coin."""
SALTS_MAX: Final = 250
"""Where one transaction may use 2^24 gas, 280 salts fit."""
GAS_TRANSACTION: Final = 32_000
GAS_FIRST: Final = 51_200
"""A token leaves an address whose clone must be deployed first."""
GAS_AGAIN: Final = 11_900
GAS_LIMIT_SALT: Final = 57_000
GAS_LIMIT_MORE: Final = 400_000
"""The limit must be higher than what is used: refunds come after the transaction."""
GAS_LIMIT_MAX: Final = 1 << 24
"""What one transaction may use where EIP-7825 is in force."""
GAS_LIMIT_OVER: Final = 20
"""One part in so many is added to a node's own estimate of a limit: balances and blocks change until it is signed."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """What one address holds of one token, in the token's smallest unit: the final part of what was seen to come in, and
    what the chain says is there. `salt` is empty in xpub mode, which has `hd_index` instead."""

    address: Address
    token: Address
    units: int
    salt: Hash32
    hd_index: int | None = None
    invoice: str = ""
    deployed: bool = False

    @property
    def gas(self) -> int:
        """What it adds to a flush."""
        return GAS_AGAIN if self.deployed else GAS_FIRST


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction: `flush` of some salts at one factory. `gas_limit` is enough for a plain token."""

    wallet: ForwarderWallet
    token: Address
    deposits: tuple[Deposit, ...]

    @property
    def to(self) -> Address:
        return self.wallet.factory

    @property
    def data(self) -> bytes:
        return flush_calldata([one.salt for one in self.deposits], self.token)

    @property
    def units(self) -> int:
        return sum(one.units for one in self.deposits)

    @property
    def gas(self) -> int:
        return GAS_TRANSACTION + sum(one.gas for one in self.deposits)

    @property
    def gas_limit(self) -> int:
        return GAS_LIMIT_MORE + GAS_LIMIT_SALT * len(self.deposits)

    def limit(self, estimate: int | None) -> int:
        """What to send it with, when a node says that it needs `estimate`: tokens behind proxies need more than plain ones."""
        if estimate is None or estimate <= self.gas_limit:
            return self.gas_limit
        return estimate + estimate // GAS_LIMIT_OVER


def batches(
    wallet: ForwarderWallet, token: Address, deposits: Iterable[Deposit], salts_max: int = SALTS_MAX
) -> Iterator[Batch]:
    """The transactions that flush some deposits of one token, the largest amounts first."""
    ordered = sorted(deposits, key=lambda one: (-one.units, one.address))
    for first in range(0, len(ordered), salts_max):
        yield Batch(wallet, token, tuple(ordered[first : first + salts_max]))


@dataclass(frozen=True, slots=True)
class Prices:
    """What gas costs (`gas_price`, in the native coin's smallest unit), and what a person says that one coin is worth in the
    tokens' currency."""

    gas_price: int
    coin: Decimal

    def pays(self, moved: Deposit | Batch, decimals: int) -> bool:
        """A deposit, a token at par, is worth more than the gas that it adds to a flush; a flush more than all of its gas."""
        over, under = self.coin.as_integer_ratio()
        cost = moved.gas * self.gas_price * over * 10**decimals
        return bool(moved.units * under * 10**COIN_DECIMALS > cost)


def worth(deposits: Sequence[Deposit], minimum: int) -> tuple[list[Deposit], list[Deposit]]:
    """(those that hold at least `minimum` units, those that hold less)."""
    enough = [one for one in deposits if one.units >= max(1, minimum)]
    return enough, [one for one in deposits if 0 < one.units < max(1, minimum)]

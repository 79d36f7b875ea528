"""Whom owners are paid at, and the transactions that would do it. Nothing is sent from here. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from billing.chain.tokens import Token
from billing.core.money import Asset
from billing.core.onchain import Address
from billing.treasury.payout import transfer_calldata


@dataclass(frozen=True, slots=True)
class Payee:
    """An address that an owner wants to be paid at on a chain. It counts once a second person confirmed it, until `ended_at`."""

    id: int
    owner: str
    chain_id: int
    address: Address
    proposed_by: str
    proposed_at: datetime
    confirmed_by: str = ""
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """One transfer of a token at par: `units` of it for `value` of its currency."""

    owner: str
    to: Address
    token: Token
    units: int
    value: int

    @property
    def data(self) -> bytes:
        """What the token's contract is called with."""
        return transfer_calldata(self.to, self.units)


@dataclass(slots=True)
class PayoutPlan:
    """`left_out` says why owners are not paid: (owner, reason). `held` is what the treasury has of the token, by the books."""

    treasury: Address
    token: Token
    held: int
    payouts: list[Payout] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def units(self) -> int:
        return sum(one.units for one in self.payouts)


def payout_of(owner: str, to: Address, token: Token, owed: int, currency: Asset) -> Payout | None:
    """What pays as much of `owed` as whole token units can; None when that is nothing."""
    scale, shrink = 10**token.decimals, 10**currency.exponent
    units = owed * scale // shrink
    value = units * shrink // scale
    return Payout(owner, to, token, units, value) if units > 0 and value > 0 else None

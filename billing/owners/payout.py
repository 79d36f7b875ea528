"""Whom owners are paid at, and the transactions that would do it. Nothing is sent from here. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from billing.chain.tokens import Token
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset
from billing.core.onchain import ZERO_ADDRESS, Address, checksum, selector, word


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


def require_second(payee: Payee, actor: str) -> None:
    """Raises Conflict when the one who confirms is the one who proposed."""
    if actor == payee.proposed_by:
        raise Conflict(
            f"{payee.proposed_by} proposed {checksum(payee.address)} for {payee.owner}",
            remedy="somebody else confirms it",
        )


def require_foreign(address: Address, ours: Iterable[Address]) -> None:
    """Raises Invalid for an address at which nobody could be paid."""
    if address == ZERO_ADDRESS or address in set(ours):
        raise Invalid(f"{checksum(address)} is no owner's address", remedy="it is one of ours, a token, or nobody's")


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
        return selector("transfer(address,uint256)") + word(self.to) + word(self.units)


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

"""Payees: addresses that money of a tenant may be sent to, on one chain. It takes two people; nothing else makes an address a
payee, least of all that money once came from it: exchanges pay for many from one address."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.core.errors import Conflict, Invalid
from billing.core.onchain import ZERO_ADDRESS, Address


class PayeeState(StrEnum):
    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Payee:
    id: int
    tenant: str
    tenant_id: int
    chain_id: int
    address: Address
    reason: str
    proposed_by: str
    proposed_at: datetime
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    revoked_by: str | None = None
    revoked_at: datetime | None = None

    @property
    def state(self) -> PayeeState:
        if self.revoked_at is not None:
            return PayeeState.REVOKED
        return PayeeState.PROPOSED if self.confirmed_at is None else PayeeState.CONFIRMED


def require_foreign(address: Address, own: bool) -> None:
    """Raises Invalid for an address that no tenant has. `own`: one that we give out or hold, or a token's."""
    if address == ZERO_ADDRESS:
        raise Invalid("nobody holds the zero address")
    if own:
        raise Invalid(f"{address} is an address of our own, or a token's contract: no tenant is paid there")


def require_second(payee: Payee, actor: str) -> None:
    """Raises Conflict when the payee cannot be confirmed by this person."""
    if payee.state is not PayeeState.PROPOSED:
        raise Conflict(f"payee {payee.id} is {payee.state}", remedy="stablemeter payee list")
    if _person(payee.proposed_by) == _person(actor):
        raise Conflict(f"{actor} proposed payee {payee.id}: somebody else must confirm it")


def _person(actor: str) -> str:
    """Who acted, as far as the trail tells: `ann` of `cli:ann` and of `api:ann (1a2b3c4d)`. Two keys of one name are one person."""
    name = actor.partition(":")[2] or actor
    return name.rpartition(" (")[0] or name

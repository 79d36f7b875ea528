"""Payees: addresses that money of a tenant may be sent to, on one chain. It takes two people; nothing else makes an address a
payee, least of all that money once came from it: exchanges pay for many from one address. Owners' payees follow these rules too."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.core.errors import Conflict, Invalid
from billing.core.onchain import ZERO_ADDRESS, Address, checksum

Screen = Callable[[int, Address], str]
"""(chain id, address) -> the list or oracle that has the address; empty when none has. Raises Unavailable or Untrusted when
nobody can tell."""


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
        raise Invalid(f"{checksum(address)} is an address of our own, or a token's contract: nobody is paid there")


def require_unlisted(chain_id: int, address: Address, screen: Screen) -> None:
    """Raises Conflict, naming the list, for an address that is sanctioned."""
    if name := screen(chain_id, address):
        raise Conflict(f"{checksum(address)} is on {name}: nobody is paid there")


def require_second(payee: Payee, actor: str) -> None:
    """Raises Conflict when the payee cannot be confirmed by this person."""
    if payee.state is not PayeeState.PROPOSED:
        raise Conflict(f"payee {payee.id} is {payee.state}", remedy="stablemeter payee list")
    require_another(payee.proposed_by, actor, f"payee {payee.id}")


def require_another(proposed_by: str, actor: str, what: str) -> None:
    """Raises Conflict when the one who confirms is the one who proposed, whichever way each of it came in."""
    if _person(proposed_by) == _person(actor):
        raise Conflict(f"{proposed_by} proposed {what}", remedy="somebody else must confirm it")


def _person(actor: str) -> str:
    """Who acted, as far as the trail tells: `ann` of `cli:ann` and of `api:ann (1a2b3c4d)`. Two keys of one name are one person."""
    name = actor.partition(":")[2] or actor
    return name.rpartition(" (")[0] or name

"""Who may move what is in a treasury: asked of a Safe, or of another contract that answers like one."""

from dataclasses import dataclass
from typing import Final, Protocol

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from billing.core.errors import Conflict
from billing.core.onchain import Address, parse_address, selector

OWNERS_MAX: Final = 1_000


class Caller(Protocol):
    """What is asked of a chain. A node implements it."""

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Safe:
    """`threshold` of the `owners` must sign."""

    owners: tuple[Address, ...]
    threshold: int


def safe(node: Caller, treasury: Address) -> Safe | None:
    """None when the contract does not answer as a Safe does."""
    try:
        (owners,) = decode(["address[]"], node.call(treasury, selector("getOwners()")))
        (threshold,) = decode(["uint256"], node.call(treasury, selector("getThreshold()")))
    except (Conflict, DecodingError, OverflowError):
        return None
    if not owners or len(owners) > OWNERS_MAX or not 0 < threshold <= len(owners):
        return None
    return Safe(tuple(parse_address(one) for one in owners), threshold)

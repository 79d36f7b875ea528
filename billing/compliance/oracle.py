"""Asks a chain: who signed a transaction, and whether its sanctions oracle has an address.

The oracle is Chainalysis-style: `isSanctioned(address) returns (bool)`, asked at the newest block.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from billing.core.errors import Conflict, Invalid, Unavailable, Untrusted
from billing.core.onchain import ZERO_ADDRESS, Address, Hash32, checksum, selector, word

T = TypeVar("T")


class NoAnswer(Unavailable):
    """The oracle itself says neither yes nor no."""


class ScreeningNode(Protocol):
    """What is needed of a node. `call` raises Conflict when the call reverts."""

    @property
    def url(self) -> str: ...

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes: ...

    def transaction(self, tx_hash: Hash32) -> Mapping[str, Any] | None: ...


class Ask(Protocol):
    """Asks the endpoints of a chain, until one answers. Raises Unavailable."""

    def __call__(self, chain_id: int, what: Callable[[ScreeningNode], T]) -> T: ...


def signer(node: ScreeningNode, tx_hash: Hash32) -> Address:
    """Who sent a transaction, which need not be whom the tokens came from. Raises Unavailable when the node does not know it."""
    found = node.transaction(tx_hash)
    if found is None:
        raise Unavailable(f"{node.url} does not know transaction {tx_hash}")
    sender = found.get("from")
    if not isinstance(sender, str) or re.fullmatch(r"0x[0-9a-fA-F]{40}", sender) is None:
        raise Untrusted(f"{node.url} tells no sender of transaction {tx_hash}")
    return Address(sender.lower())


def sanctioned(node: ScreeningNode, oracle: Address, address: Address) -> bool:
    """Raises Unavailable when the oracle gives no answer: nobody is clear because nobody was asked."""
    try:
        answer = node.call(oracle, selector("isSanctioned(address)") + word(address))
    except Conflict:
        raise NoAnswer(f"the sanctions oracle {checksum(oracle)} refuses to answer") from None
    number = int.from_bytes(answer, "big")
    if len(answer) != 32 or number > 1:
        raise NoAnswer(f"the sanctions oracle {checksum(oracle)} answers neither yes nor no")
    return bool(number)


def verify(node: ScreeningNode, oracle: Address) -> None:
    """Raises Invalid, naming the setting, when there is no such oracle."""
    try:
        sanctioned(node, oracle, ZERO_ADDRESS)
    except NoAnswer as error:
        raise Invalid(str(error), remedy="mend compliance.oracles.address") from None

"""What the watcher needs of a node. `rpc` implements it over HTTP; tests may implement it in memory."""

from collections.abc import Sequence
from typing import Any, Protocol

from billing.chain.block import Block
from billing.core.errors import Unavailable
from billing.core.onchain import Address, Hash32


class RangeTooLarge(Unavailable):
    """The node finds the request too large: ask for less."""


class MaybeCut(RangeTooLarge):
    """The answer may end where the node cut it off. With another range a whole answer has another length."""


class Busy(Unavailable):
    """The node asks to be left alone for some seconds."""

    def __init__(self, what: str, rest_seconds: int) -> None:
        super().__init__(what)
        self.rest_seconds = rest_seconds


class Node(Protocol):
    """One endpoint. Every method raises Unavailable (try another) or Untrusted (an answer that cannot be right)."""

    @property
    def url(self) -> str:
        """For people: without credentials."""
        ...

    def chain_id(self) -> int: ...

    def block(self, which: int | str) -> Block | None:
        """A header by number or tag; None when the node does not know it."""
        ...

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """Headers by number, in the order in which they were asked for; None for each that the node does not know."""
        ...

    def logs(
        self, tokens: Sequence[Address], *, span: tuple[int, int] | None = None, block_hash: Hash32 | None = None,
        topics: Sequence[Any] = (),
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Raw Transfer logs of some tokens (none: of every contract), of a span of blocks (both ends included) or of one block.

        Raises RangeTooLarge when the node wants a smaller span.
        """
        ...

    def transaction(self, tx_hash: Hash32) -> dict[str, Any] | None:
        """A transaction as the node tells it; None when it does not know it."""
        ...

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        """`eth_call` at a block, named by number, tag or hash. Raises Conflict when the call reverts, RangeTooLarge when it is
        too much work."""
        ...

    def call_many(self, wanted: Sequence[tuple[Address, bytes]], block: int | str) -> list[bytes | None]:
        """Several calls of (contract, data) at a block, in the order given; None for each that reverts."""
        ...

    def coins(self, owners: Sequence[Address], block: int | str) -> list[int]:
        """What addresses hold of the native coin at a block, in its smallest unit."""
        ...

    def code(self, address: Address) -> bytes: ...

    def have_code(self, addresses: Sequence[Address]) -> list[bool]:
        """Which of these addresses have code now."""
        ...

    def estimate_gas(self, sender: Address, to: Address, data: bytes) -> int:
        """What a transaction would use. Raises Conflict when it would revert."""
        ...

    def gas_price(self) -> int:
        """What gas costs now, in the native coin's smallest unit."""
        ...

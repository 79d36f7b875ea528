"""A node in memory: a chain of blocks with logs, and every way of lying about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.chain.block import Block
from billing.chain.node import RangeTooLarge
from billing.core.errors import Conflict, Unavailable
from billing.core.keccak import keccak256
from billing.core.onchain import TRANSFER_TOPIC, Address, Hash32, padded, to_hash
from tests.factories import OCTOBER

TOKEN = Address("0x" + "c0" * 20)
START = int(OCTOBER.timestamp())


def raw_log(block: Block, index: int, sender: Address, receiver: Address, units: int, tx: str = "") -> dict[str, Any]:
    """A Transfer log as a node answers it."""
    return {
        "address": TOKEN,
        "topics": [TRANSFER_TOPIC, padded(sender), padded(receiver)],
        "data": "0x" + f"{units:064x}",
        "blockNumber": hex(block.number),
        "blockHash": block.hash,
        "logIndex": hex(index),
        "transactionHash": to_hash(keccak256((tx or f"{block.hash}{index}").encode())),
        "removed": False,
    }


@dataclass
class MemoryChain:
    """Blocks by number; `fork` replaces everything above a height by another branch."""

    blocks: list[Block] = field(default_factory=list)
    transfers: dict[str, list[tuple[Address, Address, int, str]]] = field(default_factory=dict)

    def extend(self, branch: str = "a", transfers: Sequence[tuple[Address, Address, int, str]] = ()) -> Block:
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else Hash32("0x" + "00" * 32)
        block_hash = to_hash(keccak256(f"{parent}{number}{branch}".encode()))
        block = Block(number, block_hash, parent, OCTOBER.fromtimestamp(START + number * 2, OCTOBER.tzinfo))
        self.blocks.append(block)
        self.transfers.setdefault(block_hash, list(transfers))
        return block

    def fork(self, height: int) -> None:
        """The chain ends at `height` again."""
        del self.blocks[height + 1 :]

    def logs(self, block: Block) -> list[dict[str, Any]]:
        return [raw_log(block, i, *one[:3], one[3]) for i, one in enumerate(self.transfers[block.hash])]


class MemoryNode:
    """Answers from a chain. `range_max` is the most blocks that it gives logs of; `lie` changes an answer of logs."""

    def __init__(self, chain: MemoryChain, name: str = "memory") -> None:
        self.chain, self.url = chain, name
        self.range_max = 10**9
        self.lag = 0
        self.down = False
        self.calls: list[str] = []
        self.lie: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda logs: logs

    def chain_id(self) -> int:
        return 1

    def block(self, which: int | str) -> Block | None:
        self._call("block")
        visible = self.chain.blocks[: len(self.chain.blocks) - self.lag]
        if which == "latest":
            return visible[-1]
        if isinstance(which, str):
            return visible[max(0, len(visible) - 9)]
        return visible[which] if which < len(visible) else None

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        return [self.block(number) for number in numbers]

    def logs(
        self,
        tokens: Sequence[Address],
        *,
        span: tuple[int, int] | None = None,
        block_hash: Hash32 | None = None,
        topics: Sequence[Any] = (),
    ) -> list[dict[str, Any]]:
        self._call("logs")
        if span is not None and span[1] - span[0] + 1 > self.range_max:
            raise RangeTooLarge("query returned more than 10000 results")
        found = []
        for block in self.chain.blocks:
            if block.hash == block_hash or (span is not None and span[0] <= block.number <= span[1]):
                found += self.chain.logs(block)
        for position, wanted in enumerate(topics, 1):
            if wanted is not None:
                found = [one for one in found if one["topics"][position] in wanted]
        return self.lie(found)

    def transaction(self, tx_hash: Hash32) -> dict[str, Any] | None:
        raise AssertionError("the watcher asks for no transactions")

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        raise Conflict("nothing can be called here")

    def call_many(self, wanted: Sequence[tuple[Address, bytes]], block: int | str) -> list[bytes | None]:
        return [None for _ in wanted]

    def coins(self, owners: Sequence[Address], block: int | str) -> list[int]:
        return [0 for _ in owners]

    def code(self, address: Address) -> bytes:
        return b"\x01"

    def have_code(self, addresses: Sequence[Address]) -> list[bool]:
        return [True for _ in addresses]

    def estimate_gas(self, sender: Address, to: Address, data: bytes) -> int:
        raise Conflict("nothing can be called here")

    def gas_price(self) -> int:
        return 1

    def _call(self, method: str) -> None:
        if self.down:
            raise Unavailable(f"{self.url} does not answer")
        self.calls.append(method)


def changed(logs: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    return [{**one, **fields} for one in logs]

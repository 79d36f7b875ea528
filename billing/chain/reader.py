"""Reads blocks and logs from one node, and believes nothing that does not fit together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from billing.chain.block import Block, Log, log, may_hold, place
from billing.chain.node import MaybeCut, Node
from billing.chain.tokens import Token
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import TRANSFER_TOPIC, Address, Hash32, padded

FILTER_MAX: Final = 200
"""Up to so many watched addresses the node filters a range of blocks; beyond it sends all transfers of the tokens."""
ROUND: Final = 1_000
"""Limits of nodes are multiples of it."""


@dataclass(slots=True)
class Read:
    """What a stretch of the chain held: its last block, every block that must be remembered, and watched transfers.

    `zero` counts transfers of nothing: anybody can forge them, so they are counted and left out.
    """

    end: Block
    blocks: list[Block] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    seen: int = 0
    zero: int = 0


class Reader:
    def __init__(self, node: Node, tokens: Sequence[Token], watched: Collection[Address]) -> None:
        """`watched` must answer `in` quickly; it holds lowercase addresses."""
        self._node, self._watched = node, watched
        self._tokens = [token.address for token in tokens]

    def one(self, number: int, parent: Hash32) -> Read | None:
        """The next block, by hash. None when it does not build on `parent`: the chain was reorganised."""
        block = _known(self._node.block(number), number)
        if block.parent_hash != parent:
            return None
        read = Read(block, [block])
        if self._tokens:
            raw = self._node.logs(self._tokens, block_hash=block.hash)
            if any(one.get("blockHash") != block.hash for one in raw):
                raise Untrusted("the node answered with logs of another block")
            read.seen = len(raw)
            self._take(read, self._ours(raw), {number: block})
        return read

    def span(self, first: int, last: int, parent: Hash32) -> Read | None:
        """A range far behind the head. None when it does not build on `parent`.

        The last block must be the same before and after the logs were read, and every block with a watched transfer
        must be the one that the log names.
        """
        start, end = self._headers([first, last])
        if start.parent_hash != parent:
            return None
        read = Read(end)
        raw = self._range_logs(first, last) if self._tokens else []
        ours = self._ours(raw)
        blocks = self._headers(sorted({last, *(place(one.get("blockNumber")) for one in ours)}))
        known = {block.number: block for block in blocks}
        if known[last].hash != end.hash:
            raise Unavailable("the chain was reorganised while a range of it was read")
        read.seen, read.blocks = len(raw), blocks
        self._take(read, ours, known)
        return read

    def _headers(self, numbers: Sequence[int]) -> list[Block]:
        return [_known(*pair) for pair in zip(self._node.blocks(numbers), numbers, strict=True)]

    def _range_logs(self, first: int, last: int) -> list[dict[str, Any]]:
        if len(self._watched) > FILTER_MAX:
            return _whole(self._node.logs(self._tokens, span=(first, last)), first, last)
        mine = [padded(address) for address in self._watched]
        if not mine:
            return []
        out = _whole(self._node.logs(self._tokens, span=(first, last), topics=[mine]), first, last)
        into = _whole(self._node.logs(self._tokens, span=(first, last), topics=[None, mine]), first, last)
        both = {(str(one.get("blockHash")), str(one.get("logIndex"))): one for one in (*out, *into)}
        return list(both.values())

    def _ours(self, raw: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The logs with a watched address in them. Plain slicing: most logs are somebody else's. Nodes write hex in
        lowercase; one that does not must not hide a payment."""
        watched, ours = self._watched, []
        for one in raw:
            try:
                _, sender, receiver = one["topics"]
                if "0x" + receiver[26:].lower() in watched or "0x" + sender[26:].lower() in watched:
                    ours.append(one)
            except (AttributeError, KeyError, TypeError, ValueError):  # no Transfer of a fungible token
                continue
        return ours

    def _take(self, read: Read, ours: Sequence[dict[str, Any]], known: dict[int, Block]) -> None:
        """Keep these logs, after checking that each is of a block that was proven and that none comes twice."""
        places: set[tuple[int, int]] = set()
        for one in ours:
            found = log(one)
            if found.token not in self._tokens:
                raise Untrusted("the node answered with logs of another token")
            block = known.get(found.block_number)
            if block is None or block.hash != found.block_hash:
                raise Untrusted(f"a log names another block {found.block_number} than the node knows")
            if not may_hold(block.bloom, _indexed(found)):
                raise Untrusted(f"block {found.block_number} cannot hold the log {found.log_index}: its bloom says so")
            place = (found.block_number, found.log_index)
            if place in places:
                raise Untrusted(f"block {found.block_number} has the log {found.log_index} twice")
            places.add(place)
            if found.units == 0:
                read.zero += 1
                continue
            read.logs.append(found)
        read.logs.sort(key=lambda one: (one.block_number, one.log_index))


def _indexed(one: Log) -> list[bytes]:
    """What a block's bloom holds of a log."""
    texts = (one.token, TRANSFER_TOPIC, padded(one.sender), padded(one.receiver))
    return [bytes.fromhex(text[2:]) for text in texts]


def _whole(raw: list[dict[str, Any]], first: int, last: int) -> list[dict[str, Any]]:
    """Some nodes cut an answer off at a round number, without a word. Raises MaybeCut for one of such a length: asked
    for less, a node that left nothing out gives another number."""
    if first < last and raw and len(raw) % ROUND == 0:
        raise MaybeCut(f"blocks {first} to {last} have exactly {len(raw)} logs: perhaps the node left out the rest")
    return raw


def _known(block: Block | None, number: int) -> Block:
    if block is None:
        raise Unavailable(f"the node does not know block {number} yet")
    return block

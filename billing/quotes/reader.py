"""Reads the round of a feed that was in force at a block."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from billing.core.errors import Conflict, Invalid, Unavailable
from billing.core.onchain import Address, checksum, selector, word
from billing.quotes.feed import At, Feed, NoRate, Rate, Round, decode_round, in_phase, rate_of

ROUNDS_MAX: Final = 256
"""So many rounds are walked back on a node without the block's state; beyond that a person is asked."""

T = TypeVar("T")


class FeedNode(Protocol):
    """What is needed of a node. `call` raises Conflict when the call reverts, Unavailable without the block's state."""

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes: ...

    def block(self, which: int | str) -> Any: ...

    def code(self, address: Address) -> bytes: ...


class Ask(Protocol):
    """Asks the endpoints of a chain, until one answers. Raises Unavailable."""

    def __call__(self, chain_id: int, what: Callable[[FeedNode], T]) -> T: ...


class FeedReader:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def rate(self, chain_id: int, at: At, feed: Feed) -> Rate | NoRate:
        """The rate in force at a block. Raises Unavailable or Untrusted when no endpoint knows: to be asked again."""
        return self._ask(chain_id, lambda node: read(node, at, feed))

    def newest(self, chain_id: int, now: datetime, feed: Feed) -> Rate | NoRate:
        """The rate now. Raises Unavailable when no endpoint answers."""
        return self._ask(chain_id, lambda node: _newest(node, now, feed))


def read(node: FeedNode, at: At, feed: Feed) -> Rate | NoRate:
    """As one node tells it."""
    header = node.block(at.number)
    if header is None or header.hash != at.hash:
        raise Unavailable(f"the endpoint does not know block {at.number} as it was read")
    decimals = _decimals(node, feed.address)
    if decimals != feed.decimals:
        return NoRate(f"feed {checksum(feed.address)} has {decimals} decimals, not {feed.decimals}")
    try:
        found = _round(node, feed.address, selector("latestRoundData()"), at.number)
    except Unavailable:  # the state of that block was pruned
        found = _walk_back(node, feed.address, at.mined_at)
    if found is None:
        return NoRate(f"feed {checksum(feed.address)} has no round at block {at.number}")
    return rate_of(found, feed, at.mined_at)


def _newest(node: FeedNode, now: datetime, feed: Feed) -> Rate | NoRate:
    head = node.block("latest")
    if head is None:
        raise Unavailable("the endpoint has no newest block")
    # a node that stands still must not make an old round look fresh, nor a slow clock of ours a new one look later
    return read(node, At(head.number, head.hash, max(now, head.mined_at)), feed)


def _walk_back(node: FeedNode, address: Address, at: datetime) -> Round | None:
    """The newest round that is not later than a time, from the newest one back. None when one on the way is missing."""
    moment = int(at.timestamp())
    found = _round(node, address, selector("latestRoundData()"), "latest")
    for _ in range(ROUNDS_MAX):
        if found is None or found.updated_at == 0 or found.updated_at <= moment:
            return found
        found = _before(node, address, found)
    return None


def _before(node: FeedNode, address: Address, later: Round) -> Round | None:
    """The round before another one. Before the first of a phase comes the last of the aggregator before it."""
    if later.number > 1:
        return _round(node, address, selector("getRoundData(uint80)") + word(later.id - 1), "latest")
    phase = later.phase - 1
    if phase < 1:
        return None
    try:
        answer = node.call(address, selector("phaseAggregators(uint16)") + word(phase))
    except Conflict:
        return None
    aggregator = Address("0x" + answer[12:32].hex())
    last = _round(node, aggregator, selector("latestRoundData()"), "latest") if len(answer) >= 32 else None
    if last is None:
        return None
    return _round(node, address, selector("getRoundData(uint80)") + word(in_phase(phase, last.number)), "latest")


def _round(node: FeedNode, address: Address, data: bytes, block: int | str) -> Round | None:
    """None when the call reverts or answers no round."""
    try:
        return decode_round(node.call(address, data, block))
    except Conflict:
        return None


def _decimals(node: FeedNode, address: Address) -> int | None:
    try:
        answer = node.call(address, selector("decimals()"))
    except Conflict:
        return None
    return int.from_bytes(answer[:32], "big") if len(answer) >= 32 else None


def verify(node: FeedNode, feeds: Mapping[str, Feed]) -> None:
    """Raises Invalid, naming the setting, when a token's feed is no contract, has other decimals, or answers no round."""
    for token, feed in feeds.items():
        shown = f"the feed of token {token} at {checksum(feed.address)}"
        if not node.code(feed.address):
            raise Invalid(f"{shown} is no contract", remedy="mend chains.tokens.feed")
        decimals = _decimals(node, feed.address)
        if decimals != feed.decimals:
            raise Invalid(
                f"{shown} has {decimals} decimals, not {feed.decimals}", remedy="mend chains.tokens.feed_decimals"
            )
        if _round(node, feed.address, selector("latestRoundData()"), "latest") is None:
            raise Invalid(f"{shown} answers no round", remedy="mend chains.tokens.feed")

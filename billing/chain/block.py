"""Blocks and raw logs, as decoded from JSON-RPC. Whatever does not look like one is Untrusted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from billing.core.errors import Untrusted
from billing.core.keccak import keccak256
from billing.core.onchain import Address, Hash32
from billing.core.period import at_second

BLOOM_BITS: Final = 2_048


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: Hash32
    parent_hash: Hash32
    mined_at: datetime
    bloom: int = field(default=0, compare=False, repr=False)
    """2,048 bits of what the block's logs hold; zero where the chain does not fill it."""


@dataclass(frozen=True, slots=True)
class Log:
    """One Transfer log of a token, with its block. `units` is in the token's smallest unit."""

    block_number: int
    block_hash: Hash32
    log_index: int
    tx_hash: Hash32
    token: Address
    sender: Address
    receiver: Address
    units: int


def quantity(text: Any) -> int:
    """A JSON-RPC quantity: 0x and hex digits."""
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 66:
        raise Untrusted(f"{str(text)[:80]!r} is no quantity")
    try:
        return int(text, 16)
    except ValueError:
        raise Untrusted(f"{text[:80]!r} is no quantity") from None


def place(text: Any) -> int:
    """A block's number or a log's index: a quantity that a chain can reach."""
    found = quantity(text)
    if found >= 1 << 53:
        raise Untrusted(f"{text[:80]!r} is an absurd place in a chain")
    return found


def hash32(text: Any) -> Hash32:
    if not isinstance(text, str) or len(text) != 66 or not text.startswith("0x"):
        raise Untrusted(f"{str(text)[:80]!r} is no hash")
    return Hash32(text.lower())


def parameter(which: int | str) -> Any:
    """A block as nodes want it named: by number, by tag, or by hash (EIP-1898), and then only while it is on their chain."""
    if isinstance(which, int):
        return hex(which)
    return {"blockHash": which, "requireCanonical": True} if len(which) == 66 else which


def block(raw: Any) -> Block:
    """Decode a header. Raises Untrusted."""
    if not isinstance(raw, dict):
        raise Untrusted("a block is no object")
    seconds = quantity(raw.get("timestamp"))
    if seconds > 1 << 37:
        raise Untrusted("a block's time is absurd")
    return Block(
        place(raw.get("number")),
        hash32(raw.get("hash")),
        hash32(raw.get("parentHash")),
        at_second(seconds),
        _bloom(raw.get("logsBloom")),
    )


def _bloom(text: Any) -> int:
    """Some chains leave it out, or leave it empty."""
    if not isinstance(text, str) or len(text) != 2 + BLOOM_BITS // 4:
        return 0
    try:
        return int(text, 16)
    except ValueError:
        raise Untrusted("a block's logsBloom is no hex") from None


def may_hold(bloom: int, values: Sequence[bytes]) -> bool:
    """May a block with this bloom hold a log with all these values (its contract, its topics)? False is certain."""
    if not bloom:
        return True
    for value in values:
        digest = keccak256(value)
        for at in (0, 2, 4):
            if not bloom >> (int.from_bytes(digest[at : at + 2], "big") % BLOOM_BITS) & 1:
                return False
    return True


def log(raw: dict[str, Any]) -> Log:
    """Decode a Transfer log with plain slicing. Raises Untrusted when it is none."""
    topics, data = raw.get("topics"), raw.get("data")
    if not isinstance(topics, list) or len(topics) != 3 or not isinstance(data, str) or len(data) != 66:
        raise Untrusted("a log is no ERC-20 Transfer")
    if raw.get("removed") is True:
        raise Untrusted("a log is marked as removed")
    token = raw.get("address")
    if not isinstance(token, str) or len(token) != 42:
        raise Untrusted("a log names no token")
    return Log(
        place(raw.get("blockNumber")),
        hash32(raw.get("blockHash")),
        place(raw.get("logIndex")),
        hash32(raw.get("transactionHash")),
        Address(token.lower()),
        Address("0x" + hash32(topics[1])[26:]),
        Address("0x" + hash32(topics[2])[26:]),
        quantity(data),
    )

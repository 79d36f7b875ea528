"""What many addresses hold, in few requests: through Multicall3 where a chain has it, in batches of calls elsewhere."""

from collections.abc import Sequence
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from billing.chain.node import Node
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import ZERO_ADDRESS, Address, selector, word

MULTICALL3: Final = Address("0xca11bde05977b3631167028862be2a173976ca11")
"""The same on all chains that have it. See github.com/mds1/multicall3."""
NATIVE: Final = ZERO_ADDRESS
"""Stands for the native coin in the place of a token."""
AT_ONCE: Final = 500

Place = tuple[Address, Address]
"""(owner, token)."""


def balances(node: Node, places: Sequence[Place], number: int) -> dict[Place, int | None]:
    """What each owner holds of a token at a block, in its smallest unit; None where the token does not tell.

    Raises Unavailable when the block changed meanwhile, or the node does not have the state of that block any more.
    """
    before = node.block(number)
    together = bool(node.code(MULTICALL3))
    found: dict[Place, int | None] = {}
    for start in range(0, len(places), AT_ONCE):
        part = places[start : start + AT_ONCE]
        told = _together(node, part, number) if together else _apart(node, part, number)
        found |= zip(part, told, strict=True)
    after = node.block(number)
    if before is None or after is None or before.hash != after.hash:
        raise Unavailable(f"{node.url} does not stay with block {number}")
    return found


def _together(node: Node, places: Sequence[Place], number: int) -> list[int | None]:
    """Each part may fail by itself: one bad token hides no other."""
    calls = [
        (MULTICALL3, True, selector("getEthBalance(address)") + word(owner))
        if token == NATIVE
        else (token, True, selector("balanceOf(address)") + word(owner))
        for owner, token in places
    ]
    data = selector("aggregate3((address,bool,bytes)[])") + encode(["(address,bool,bytes)[]"], [calls])
    try:
        (answers,) = decode(["(bool,bytes)[]"], node.call(MULTICALL3, data, number))
    except (DecodingError, OverflowError):
        raise Untrusted(f"{node.url} answered a multicall with something else") from None
    if len(answers) != len(places):
        raise Untrusted(f"{node.url} answered a multicall of {len(places)} with {len(answers)} answers")
    return [_word(data) if good else None for good, data in answers]


def _apart(node: Node, places: Sequence[Place], number: int) -> list[int | None]:
    tokens = [(owner, token) for owner, token in places if token != NATIVE]
    owners = [owner for owner, token in places if token == NATIVE]
    calls = [(token, selector("balanceOf(address)") + word(owner)) for owner, token in tokens]
    found: dict[Place, int | None] = dict(zip(tokens, map(_word, node.call_many(calls, number)), strict=True))
    found |= zip(((owner, NATIVE) for owner in owners), node.coins(owners, number), strict=True)
    return [found[place] for place in places]


def _word(answer: bytes | None) -> int | None:
    return None if answer is None or len(answer) < 32 else int.from_bytes(answer[:32], "big")

"""What many addresses hold, in few requests: through Multicall3 where a chain has it, in batches of calls elsewhere."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from billing.chain.block import Block
from billing.chain.node import Busy, Node, RangeTooLarge
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.onchain import ZERO_ADDRESS, Address, selector, word

MULTICALL3: Final = Address("0xca11bde05977b3631167028862be2a173976ca11")
"""The same on all chains that have it. See github.com/mds1/multicall3."""
NATIVE: Final = ZERO_ADDRESS
"""Stands for the native coin in the place of a token."""
AT_ONCE: Final = 500
"""Calls in one Multicall: 110 kB to send, 80 kB to receive. One that is too much for a node is halved."""
SAMPLE: Final = 20
"""Of a token that told nothing, so many places are asked for again. If none is told, it does not tell."""

Place = tuple[Address, Address]
"""(owner, token)."""
Told = list[int | None]
"""In the order of the places that were asked for; None where a token does not tell."""
Ask = Callable[[Node, Sequence[Place], int | str], Told]


def balances(node: Node, places: Sequence[Place], number: int) -> dict[Place, int | None]:
    """What each owner holds of a token at a block, in its smallest unit; None where the token does not tell.

    Raises Unavailable when the block changed meanwhile, or the node does not have the state of that block any more.
    """
    before = node.block(number)
    found = _read(node, places, number)
    after = node.block(number)
    if before is None or after is None or before.hash != after.hash:
        raise Unavailable(f"{node.url} does not stay with block {number}")
    return found


def balances_at(node: Node, places: Sequence[Place], block: Block) -> dict[Place, int | None]:
    """The same at one block and no other: by its hash, or, at a node that knows blocks by number only, by its number while the
    hash stays the same.

    Raises Unavailable when the node does not have that block, or not its state any more.
    """
    try:
        return _read(node, places, block.hash)
    except Busy:
        raise
    except Unavailable:
        known = node.block(block.number)
        if known is None or known.hash != block.hash:
            raise Unavailable(f"{node.url} does not know our block {block.number}") from None
    found = balances(node, places, block.number)
    after = node.block(block.number)
    if after is None or after.hash != block.hash:
        raise Unavailable(f"{node.url} does not stay with block {block.number}")
    return found


def _read(node: Node, places: Sequence[Place], at: int | str) -> dict[Place, int | None]:
    ask: Ask = _together if node.code(MULTICALL3) else _apart
    found: dict[Place, int | None] = {}
    mute: set[Address] = set()
    left, size = list(places), AT_ONCE
    while left:
        part, rest = left[:size], left[size:]
        try:
            told = ask(node, part, at)
        except (RangeTooLarge, Conflict):
            if len(part) > 1:
                size = len(part) // 2
                continue
            mute.add(part[0][1])  # it alone is too much: whatever else it is asked would be so too
            told = [None]
        found |= zip(part, told, strict=True)
        size = min(AT_ONCE, size * 2)
        found |= {place: None for place in rest if place[1] in mute}
        left = [place for place in rest if place[1] not in mute]
    return found


def _together(node: Node, places: Sequence[Place], at: int | str) -> Told:
    """In one call. Each part of it may fail by itself; but a token that burns all gas leaves none to those after it, so
    what failed is asked for again without the others."""
    answer = node.call(MULTICALL3, aggregate(places), at)
    if not answer:  # it was deployed after that block
        return _apart(node, places, at)
    told = aggregated(answer, len(places))
    silent = defaultdict[Address, list[Place]](list)
    for place, units in zip(places, told, strict=True):
        if units is None:
            silent[place[1]].append(place)
    found: dict[Place, int | None] = {}
    for group in silent.values() if len(places) > 1 else ():
        heard = _each(node, group[:SAMPLE], at)
        if any(units is not None for units in heard):  # it does tell: ask about all of them
            heard += _each(node, group[SAMPLE:], at)
        found |= zip(group, heard, strict=False)
    return [found.get(place) if units is None else units for place, units in zip(places, told, strict=True)]


def aggregate(places: Sequence[Place]) -> bytes:
    """The calldata of Multicall3's `aggregate3`; any part may fail."""
    calls = [
        (MULTICALL3, True, selector("getEthBalance(address)") + word(owner))
        if token == NATIVE
        else (token, True, selector("balanceOf(address)") + word(owner))
        for owner, token in places
    ]
    return selector("aggregate3((address,bool,bytes)[])") + encode(["(address,bool,bytes)[]"], [calls])


def aggregated(answer: bytes, length: int) -> Told:
    """What `aggregate3` answered to so many calls. Raises Untrusted when that is no such answer."""
    try:
        (answers,) = decode(["(bool,bytes)[]"], answer)
    except (DecodingError, OverflowError):
        raise Untrusted("a node answered a multicall with something else") from None
    if len(answers) != length:
        raise Untrusted(f"a node answered a multicall of {length} with {len(answers)} answers")
    return [_word(data) if good else None for good, data in answers]


def _apart(node: Node, places: Sequence[Place], at: int | str) -> Told:
    tokens = [(owner, token) for owner, token in places if token != NATIVE]
    owners = [owner for owner, token in places if token == NATIVE]
    calls = [(token, selector("balanceOf(address)") + word(owner)) for owner, token in tokens]
    found: dict[Place, int | None] = dict(zip(tokens, map(_word, node.call_many(calls, at)), strict=True))
    found |= zip(((owner, NATIVE) for owner in owners), node.coins(owners, at), strict=True)
    return [found[place] for place in places]


def _each(node: Node, places: Sequence[Place], at: int | str) -> Told:
    """In a batch, or one by one where the batch is too much for the node."""
    try:
        return _apart(node, places, at)
    except (RangeTooLarge, Conflict):
        return [None] if len(places) == 1 else [units for place in places for units in _each(node, [place], at)]


def _word(answer: bytes | None) -> int | None:
    return None if answer is None or len(answer) < 32 else int.from_bytes(answer[:32], "big")

"""Looks closer at an address: what lies on it now, and what any contract says was sent there lately.

What contracts say that nobody listens to proves nothing: anybody can make one that says anything. It is for people to look at.
"""

from dataclasses import dataclass
from typing import Final

from billing.chain.balances import NATIVE, balances
from billing.chain.block import log
from billing.chain.node import Node, RangeTooLarge
from billing.chain.watcher import Chain
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import Address, Hash32, padded

LATELY: Final = 5_000
"""Blocks that are looked at, from the newest down."""
SPAN: Final = 1_000
LOGS_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Said:
    """A Transfer log to an address. `listing` is the token's, or empty: nobody listens to this contract."""

    block: int
    log_index: int
    tx_hash: Hash32
    token: Address
    units: int
    listing: str


@dataclass(frozen=True, slots=True)
class Inspected:
    """`balances` are of the listed tokens and the native coin, None where one does not tell; `said` are the newest logs from
    block `since` on, those of listed tokens among them."""

    deployed: bool
    balances: dict[Address, int | None]
    since: int
    said: list[Said]


def inspect(node: Node, chain: Chain, address: Address, blocks: int = LATELY) -> Inspected:
    """Raises Unavailable when the endpoint does not answer."""
    head = node.block("latest")
    if head is None:
        raise Unavailable(f"{node.url} knows no block")
    places = [(address, token.address) for token in chain.tokens] + [(address, NATIVE)]
    held = {token: units for (_, token), units in balances(node, places, head.number).items()}
    since, said = _said(node, chain, address, (max(0, head.number - blocks + 1), head.number))
    return Inspected(bool(node.code(address)), held, since, said)


def _said(node: Node, chain: Chain, address: Address, span: tuple[int, int]) -> tuple[int, list[Said]]:
    """(the block down to which it was looked, the logs), the newest first."""
    listings = {token.address: token.listing.value for token in chain.tokens}
    found: list[Said] = []
    last, step = span[1], SPAN
    while last >= span[0] and len(found) < LOGS_SHOWN:
        first = max(span[0], last - step + 1)
        try:
            raw = node.logs([], span=(first, last), topics=[None, [padded(address)]])
        except RangeTooLarge:
            if first == last:
                raise
            step = max(1, step // 4)
            continue
        found += reversed([Said(*one, listings.get(one[3], "")) for one in _fungible(raw)])
        last = first - 1
    return last + 1, found[:LOGS_SHOWN]


def _fungible(raw: list[dict[str, object]]) -> list[tuple[int, int, Hash32, Address, int]]:
    """Those logs that look like an ERC-20's."""
    found = []
    for one in raw:
        try:
            seen = log(one)
        except Untrusted:
            continue
        found.append((seen.block_number, seen.log_index, seen.tx_hash, seen.token, seen.units))
    return sorted(found)

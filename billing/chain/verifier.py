"""Is this the chain that was configured, and are its tokens? Asked before a chain is followed."""

from billing.chain.node import Node
from billing.chain.watcher import Chain
from billing.core.errors import Conflict, Invalid, Untrusted
from billing.core.onchain import Address, checksum, selector


def verify(node: Node, chain: Chain) -> None:
    """Raises Invalid, naming the setting, when the chain id, or a token's symbol or decimals, is another one."""
    found = node.chain_id()
    if found != chain.chain_id:
        raise Invalid(
            f"{node.url} is chain {found}, but chains.{chain.name} says {chain.chain_id}",
            remedy="mend chain_id or rpc_urls",
        )
    for token in chain.tokens:
        shown = f"token {token.symbol} at {checksum(token.address)} on {chain.name}"
        if not node.code(token.address):
            raise Invalid(f"{shown} is no contract", remedy="mend chains.tokens.address")
        decimals = _number(node, token.address, "decimals()")
        if decimals != token.decimals:
            raise Invalid(
                f"{shown} has {decimals} decimals, not {token.decimals}", remedy="mend chains.tokens.decimals"
            )
        symbol = _text(node, token.address, "symbol()")
        if symbol not in (token.onchain_symbols or (token.symbol,)):
            remedy = "mend chains.tokens.symbol or address; if it is the right one, name it in onchain_symbols"
            raise Invalid(f"{shown} calls itself {symbol!r}", remedy=remedy)


def _number(node: Node, token: Address, function: str) -> int | None:
    """None when the contract has no such function; an endpoint that fails is another matter, and raises."""
    try:
        answer = node.call(token, selector(function))
    except Conflict:
        return None
    return _word(answer) if len(answer) >= 32 else None


def _word(answer: bytes) -> int:
    if len(answer) < 32:
        raise Untrusted("a call answered with less than a word")
    return int.from_bytes(answer[:32], "big")


def _text(node: Node, token: Address, function: str) -> str:
    """A string answer; some old tokens answer with 32 bytes instead."""
    try:
        answer = node.call(token, selector(function))
    except Conflict:
        return ""
    if len(answer) == 32:
        return answer.rstrip(b"\0").decode(errors="replace")
    if len(answer) < 64:
        return ""
    length = int.from_bytes(answer[32:64], "big")
    return answer[64 : 64 + min(length, 256)].decode(errors="replace")

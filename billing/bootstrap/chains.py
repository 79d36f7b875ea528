"""Builds chains, and what invoices offer on them, from their settings."""

from billing.chain.policy import Finality
from billing.chain.tokens import Listing, Token
from billing.chain.watcher import Chain
from billing.core.onchain import parse_address
from billing.invoicing.issuer import Offer
from billing.settings import ChainSettings


def chain_of(one: ChainSettings) -> Chain:
    tokens = tuple(
        Token(
            one.chain_id,
            token.symbol,
            parse_address(token.address),
            token.decimals,
            Listing(token.listing),
            token.currency,
        )
        for token in one.tokens
    )
    confirmed: int | str = one.confirmations if one.confirmations is not None else str(one.finality)
    final: int | str = one.final_confirmations if one.final_confirmations is not None else "finalized"
    return Chain(
        chain_id=one.chain_id,
        name=one.name,
        tokens=tokens,
        finality=Finality(confirmed, final),  # type: ignore[arg-type]
        start=one.start_block,
        reorg_blocks_max=one.reorg_blocks_max,
        block_seconds=one.block_seconds,
    )


def offers_of(one: ChainSettings) -> tuple[Offer, ...]:
    """What may be paid with on a chain, and what each token is worth."""
    return tuple(
        Offer(one.chain_id, token.symbol, parse_address(token.address), token.decimals, token.currency, token.rule)
        for token in one.tokens
        if token.listing == "accept"
    )

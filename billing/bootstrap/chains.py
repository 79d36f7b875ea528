"""Builds chains, and what invoices offer on them, from their settings."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

from billing.chain.node import Busy, Node
from billing.chain.policy import Band, Finality, Rule
from billing.chain.pool import Told
from billing.chain.tokens import Listing, Token
from billing.chain.watcher import Chain
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import parse_address
from billing.invoicing.addressing import Offer
from billing.quotes.feed import Feed
from billing.reconciliation.valuation import feed_of
from billing.settings import ChainSettings
from billing.telemetry import metrics


def chain_of(one: ChainSettings) -> Chain:
    tokens = tuple(
        Token(
            one.chain_id,
            token.symbol,
            parse_address(token.address),
            token.decimals,
            Listing(token.listing),
            token.currency,
            tuple(token.onchain_symbols),
        )
        for token in one.tokens
    )
    bands = tuple(Band(Decimal(band.up_to), _rule(band.confirmations, band.finality)) for band in one.bands)
    final: Any = one.final_confirmations if one.final_confirmations is not None else "finalized"
    return Chain(
        chain_id=one.chain_id,
        name=one.name,
        tokens=tokens,
        finality=Finality(_rule(one.confirmations, one.finality), final, bands),
        start=one.start_block,
        reorg_blocks_max=one.reorg_blocks_max,
        block_seconds=one.block_seconds,
        stall_seconds=one.finality_stall_seconds,
    )


def _rule(depth: int | None, tag: Literal["safe", "finalized"] | None) -> Rule:
    """One of the two is given: the settings see to it."""
    rule = depth if depth is not None else tag
    assert rule is not None
    return rule


def offers_of(one: ChainSettings) -> tuple[Offer, ...]:
    """What may be paid with on a chain, and what each token is worth."""
    return tuple(
        Offer(one.chain_id, token.symbol, parse_address(token.address), token.decimals, currency, rule)
        for token in one.tokens
        if token.listing == "accept"
        for currency, rule in token.rules.items()
    )


def feeds_of(one: ChainSettings) -> dict[str, Feed]:
    """{token and currency: the feed that says what it is worth}, of a chain."""
    return {
        f"{token.symbol}/{currency}": feed
        for token in one.tokens
        for currency, rule in token.rules.items()
        if (feed := feed_of(rule)) is not None
    }


def counted(chain: str, url: str) -> Callable[[str, str, int], None]:
    """Counts what an endpoint is asked. The label is its host: paths and queries hold keys."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def count(method: str, outcome: str, calls: int) -> None:
        metrics.RPC_CALLS.labels(chain, host, method, outcome).inc(calls)

    return count


def failing(chain: str) -> Told:
    """Counts failures of endpoints, by host too."""

    def count(node: Node, error: Unavailable | Untrusted) -> None:
        kind = "untrusted" if isinstance(error, Untrusted) else "busy" if isinstance(error, Busy) else "unavailable"
        metrics.ENDPOINT_FAILURES.labels(chain, urlsplit(node.url).netloc, kind).inc()

    return count

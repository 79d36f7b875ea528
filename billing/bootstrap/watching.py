"""Chains, and what tokens are worth."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from billing.bootstrap.chains import chain_of, counted, failing, feeds_of
from billing.bootstrap.invoicing import InvoicingParts
from billing.chain.budget import Budget
from billing.chain.pool import Pool
from billing.chain.proofreader import Proofreader
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.errors import Unavailable
from billing.quotes.quoter import Quoted, Quoter
from billing.quotes.reader import FeedNode, FeedReader
from billing.quotes.reader import verify as verify_feeds
from billing.wallets.accepter import Accepter
from billing.wallets.watchlist import WatchList

T = TypeVar("T")


class WatchingParts(InvoicingParts):
    """From chains to transfers."""

    @cached_property
    def accepter(self) -> Accepter:
        return Accepter(self.database, self.clock, self.wallet)

    @cached_property
    def chains(self) -> list[Chain]:
        return [chain_of(one) for one in self.settings.chains]

    @cached_property
    def tokens(self) -> list[Token]:
        return [token for chain in self.chains for token in chain.tokens]

    @cached_property
    def budgets(self) -> Mapping[int, Budget]:
        """What may be asked of each chain's endpoints, by chain id."""
        return {one.chain_id: Budget(one.calls_per_minute) for one in self.settings.chains}

    @cached_property
    def watchers(self) -> Mapping[int, Watcher]:
        """One a chain, by chain id. Loads the chain libraries."""
        from billing.chain.rpc import HttpNode

        found = {}
        for one, chain in zip(self.settings.chains, self.chains, strict=True):
            nodes = [
                HttpNode(url, one.timeout_seconds, budget=self.budgets[one.chain_id], observer=counted(one.name, url))
                for url in one.rpc_urls
            ]
            self._closing += [node.close for node in nodes]
            pool = Pool(nodes, self.clock, failing(one.name))
            found[chain.chain_id] = Watcher(self.database, self.clock, chain, pool, WatchList(), self._fences.watcher)
        return found

    @cached_property
    def proofreaders(self) -> Mapping[int, Proofreader]:
        """The audit lane of each chain. It prefers the endpoint that the tip lane asks last."""
        found = {}
        for chain_id, watcher in self.watchers.items():
            pool = Pool(
                [endpoint.node for endpoint in reversed(watcher.pool.endpoints)],
                self.clock,
                failing(watcher.chain.name),
            )
            found[chain_id] = Proofreader(
                self.database, self.clock, watcher.chain, pool, WatchList(), self._fences.watcher
            )
        return found

    def check_chain(self, chain_id: int) -> None:
        """Verify a chain and its tokens against the settings, follow it, and accept it for the wallet: in this order, for
        what is paid on a chain that nobody follows yet would never be seen.

        Raises Invalid for a chain or token that is not the configured one, Conflict when the wallet cannot be used there
        yet, Unavailable when no endpoint answers.
        """
        from billing.chain.verifier import verify

        watcher = self.watchers[chain_id]
        watcher.pool.ask(lambda node: verify(node, watcher.chain))
        configured = next(one for one in self.settings.chains if one.chain_id == chain_id)
        watcher.pool.ask(lambda node: verify_feeds(node, feeds_of(configured)))
        watcher.pool.ask(watcher.begin)
        watcher.pool.ask(lambda node: self.accepter.accept(chain_id, watcher.chain.name, node))

    @cached_property
    def _feeds(self) -> FeedReader:
        def ask(chain_id: int, what: Callable[[FeedNode], T]) -> T:
            watcher = self.watchers.get(chain_id)
            if watcher is None:
                raise Unavailable(f"chain {chain_id} is not configured", remedy="configure it again: a payment waits")
            return watcher.pool.ask(what)

        return FeedReader(ask)

    @cached_property
    def quoter(self) -> Quoter:
        return Quoter(self.database, self.clock, self._feeds, self._fences.watcher)

    def quote(self, chain_id: int) -> Quoted:
        """Quote the feeds of a chain anew, where it is time. Raises Unavailable when no endpoint answers."""
        configured = next(one for one in self.settings.chains if one.chain_id == chain_id)
        return self.quoter.tick(chain_id, feeds_of(configured), timedelta(seconds=configured.quote_seconds))

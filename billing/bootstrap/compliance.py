"""Who is screened, and how."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from billing.bootstrap.watching import WatchingParts
from billing.compliance.oracle import ScreeningNode
from billing.compliance.oracle import verify as verify_oracle
from billing.compliance.registrar import Register
from billing.compliance.screener import ListFile, Policy, Screener
from billing.core.errors import Unavailable
from billing.core.onchain import Address, parse_address

T = TypeVar("T")


class ComplianceParts(WatchingParts):
    """From transfers to senders."""

    @cached_property
    def screener(self) -> Screener:
        def ask(chain_id: int, what: Callable[[ScreeningNode], T]) -> T:
            watcher = self.watchers.get(chain_id)
            if watcher is None:
                raise Unavailable(f"chain {chain_id} is not configured", remedy="configure it again: a payment waits")
            return watcher.pool.ask(what)

        wanted = self.settings.compliance
        files = tuple(ListFile(one.name, one.path, one.dated_at) for one in wanted.lists)
        return Screener(self.database, self.clock, Policy(files, self.oracles, wanted.stale_after_days), ask)

    @cached_property
    def register(self) -> Register:
        return Register(self.database, self.clock)

    @cached_property
    def oracles(self) -> dict[int, Address]:
        """{chain id: its sanctions oracle}."""
        ids = {chain.name: chain.chain_id for chain in self.settings.chains}
        return {ids[one.chain]: parse_address(one.address) for one in self.settings.compliance.oracles}

    def check_chain(self, chain_id: int) -> None:
        """As of every chain; and that the sanctions oracle, if it has one, answers."""
        if chain_id in self.oracles:
            self.watchers[chain_id].pool.ask(lambda node: verify_oracle(node, self.oracles[chain_id]))
        super().check_chain(chain_id)

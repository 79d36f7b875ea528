"""Payments, books, and what is told of them."""

from functools import cached_property

from billing.audit.auditor import Auditor
from billing.bootstrap.compliance import ComplianceParts
from billing.closing.closer import Closer
from billing.closing.shelf import Shelf
from billing.reconciliation.controls import ControlAsker
from billing.reconciliation.holder import Holder
from billing.reconciliation.reconciler import Reconciler
from billing.reconciliation.resolver import Resolver
from billing.reports.reporter import Reporter
from billing.treasury.planner import Planner


class BookParts(ComplianceParts):
    """From transfers to closed months."""

    @cached_property
    def reconciler(self) -> Reconciler:
        holder = Holder(self.clock, self.screener if self.screener.policy.on else None)
        return Reconciler(self.database, self.clock, self._fences.watcher, self._feeds, self.meters, holder)

    @cached_property
    def control_asker(self) -> ControlAsker:
        return ControlAsker(self.database, self.clock, self.rules, self._fences.watcher)

    @cached_property
    def resolver(self) -> Resolver:
        return Resolver(self.database, self.clock)

    @cached_property
    def planner(self) -> Planner:
        return Planner(self.database, self.screener.policy.on)

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(self.database, self.tokens, {chain.chain_id: chain.name for chain in self.chains})

    @cached_property
    def closer(self) -> Closer:
        names = {chain.chain_id: chain.name for chain in self.chains}
        shelf = Shelf([self.settings.data_dir / "closed", *(one / "closed" for one in self.archive.directories)])
        return Closer(self.database, self.clock, self.reporter, names, self.drafter.used_payers, shelf)

    @cached_property
    def auditor(self) -> Auditor:
        return Auditor(self.database, self.clock, self.archive, lambda: self.watchers, (self.closer.lost,))

"""What the finance desk decides."""

from functools import cached_property

from billing.bootstrap.compliance import ComplianceParts
from billing.reconciliation.abandoner import Abandoner
from billing.reconciliation.applier import Applier
from billing.reconciliation.refunder import Refunder
from billing.treasury.cashier import Cashier
from billing.treasury.repayer import Repayer


class DeskParts(ComplianceParts):
    """Money that waits for a person, debts that nobody will pay, and what is owed back to whom."""

    @cached_property
    def applier(self) -> Applier:
        return Applier(self.database, self.clock)

    @cached_property
    def abandoner(self) -> Abandoner:
        return Abandoner(self.database, self.clock)

    @cached_property
    def refunder(self) -> Refunder:
        return Refunder(self.database, self.clock)

    @cached_property
    def cashier(self) -> Cashier:
        return Cashier(
            self.database, self.clock, frozenset(chain.chain_id for chain in self.chains), self.screener.payee_on
        )

    @cached_property
    def repayer(self) -> Repayer:
        return Repayer(self.database, self.clock, self.screener.payee_on)

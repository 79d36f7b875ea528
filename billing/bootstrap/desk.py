"""What the finance desk decides."""

from functools import cached_property

from billing.bootstrap.ground import Ground
from billing.reconciliation.abandoner import Abandoner
from billing.reconciliation.applier import Applier


class DeskParts(Ground):
    """Money that waits for a person, and debts that nobody will pay."""

    @cached_property
    def applier(self) -> Applier:
        return Applier(self.database, self.clock)

    @cached_property
    def abandoner(self) -> Abandoner:
        return Abandoner(self.database, self.clock)

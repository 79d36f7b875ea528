"""Deposit addresses, and tenants that pay before they use."""

from functools import cached_property

from billing.bootstrap.books import BookParts
from billing.invoicing.depositor import Depositor


class PrepaidParts(BookParts):
    """From deposit addresses to what is left of the money that came to them."""

    @cached_property
    def depositor(self) -> Depositor:
        return Depositor(self.database, self.clock, self.archive, self.house)

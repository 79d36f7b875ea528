"""Deposit addresses, and tenants that pay before they use."""

from functools import cached_property

from billing.bootstrap.books import BookParts
from billing.invoicing.depositor import Depositor
from billing.invoicing.forecaster import Forecaster
from billing.invoicing.granter import Granter
from billing.invoicing.prepayer import Prepayer


class PrepaidParts(BookParts):
    """From deposit addresses to what is left of the money that came to them."""

    @cached_property
    def depositor(self) -> Depositor:
        return Depositor(self.database, self.clock, self.archive, self.house)

    @cached_property
    def granter(self) -> Granter:
        return Granter(self.database, self.clock)

    @cached_property
    def forecaster(self) -> Forecaster:
        return Forecaster(self.database, self.clock, self.drafter, self.meters)

    @cached_property
    def prepayer(self) -> Prepayer:
        return Prepayer(self.database, self.clock, self.forecaster, self._fences.invoicer)

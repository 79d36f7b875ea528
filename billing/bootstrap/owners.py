"""Owners of GPUs: their shares, settlements and payouts."""

from functools import cached_property
from typing import TYPE_CHECKING

from billing.bootstrap.papers import PaperParts
from billing.owners.importer import ShareImporter
from billing.owners.payer import Payer
from billing.owners.registrar import OwnerRegistrar
from billing.owners.settler import Settler

if TYPE_CHECKING:
    from billing.reports.owner_printer import OwnerPrinter


class OwnerParts(PaperParts):
    """From collected money to payouts."""

    @cached_property
    def owner_registrar(self) -> OwnerRegistrar:
        return OwnerRegistrar(self.database, self.clock)

    @cached_property
    def share_importer(self) -> ShareImporter:
        return ShareImporter(self.database, self.clock)

    @cached_property
    def settler(self) -> Settler:
        return Settler(self.database, self.clock, self._fences.invoicer)

    @cached_property
    def payer(self) -> Payer:
        return Payer(self.database, self.clock, self.screener.payee_on, self.wallet)

    @cached_property
    def owner_printer(self) -> "OwnerPrinter":
        """Loads the typesetting library."""
        from billing.reports.owner_printer import OwnerPrinter

        return OwnerPrinter(self.database, self.clock, self.printer, self.house.issuer)

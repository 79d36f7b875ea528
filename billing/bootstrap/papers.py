"""What is on paper, and what comes back from the archive: both need invoices and their payments."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from billing.bootstrap.books import BookParts
from billing.chain import store as chain_store
from billing.db.engine import Session
from billing.invoicing.noter import Noter
from billing.invoicing.restorer import Restored, Restorer

if TYPE_CHECKING:
    from billing.papers.printer import Printer

CLOCKS_APART: Final = timedelta(hours=1)
"""How far a chain's clock may be behind ours: what was paid right after an issue must not be passed over."""


class PaperParts(BookParts):
    """Credit notes, and restored documents."""

    @cached_property
    def noter(self) -> Noter:
        return Noter(self.database, self.clock, self.archive, self.house, self._settle)

    @cached_property
    def printer(self) -> "Printer":
        """Loads the typesetting library."""
        from billing.papers.printer import Printer

        return Printer(self.settings.issuer.fonts)

    def _settle(self, session: Session, invoice_id: int) -> None:
        self.reconciler.reallocate(session, invoice_id)

    @cached_property
    def restorer(self) -> Restorer:
        def read_again(session: Session, since: datetime) -> None:
            chain_store.request_rewind(session, since - CLOCKS_APART)

        return Restorer(self.database, self.clock, self.archive, self.wallet, read_again, self._settle)

    def restore(self, *, actor: str) -> Restored:
        """Bring back what the archive knows and the database has forgotten; chains are read again from its oldest day,
        because nobody watched those addresses meanwhile."""
        return self.restorer.restore(actor=actor)

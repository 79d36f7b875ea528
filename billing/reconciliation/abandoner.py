"""Gives up what remains on an invoice, as a person decided. A payment that comes all the same takes it back as far as it goes."""

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Money
from billing.db.engine import Database
from billing.invoicing import store as invoicing
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import writeoffs
from billing.invoicing.store.writeoffs import Decided
from billing.reconciliation.allocator import reallocate
from billing.trail.store import Deed, record


class Abandoner:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def write_off(self, number: str, *, reason: str, actor: str) -> Invoice:
        """An open invoice becomes uncollectible; returns it as it is then. Raises Invalid without a reason, Conflict when it is not
        open."""
        if not reason.strip():
            raise Invalid(f"writing {number} off needs a reason", remedy="--reason '...'")
        now = self._clock.now()
        with self._database.transaction() as session:
            invoice_id = invoicing.by_number(session, number).id
            invoicing.lock(session, invoice_id)  # whoever is about to book a payment on it waits, or was faster
            invoice = invoicing.by_id(session, invoice_id)
            if invoice.status is not InvoiceStatus.OPEN:
                raise Conflict(f"{number} is {invoice.status}: there is nothing to write off")
            writeoffs.add(session, invoice_id, Decided(actor, reason, now))
            reallocate(session, [invoice], now)
            lost = Money(invoice.remaining, invoice.currency)
            record(session, Deed(now, actor, "invoice.write_off", f"invoice {number}", reason, {"amount": str(lost)}))
            return invoicing.by_id(session, invoice_id)

"""Issues credit notes in part: so much off a line, or off an invoice. The invoice stands; less is asked for."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Conflict
from billing.core.money import parse_rate, parse_units
from billing.db.engine import Database, Session
from billing.invoicing import compose, postings, store, told
from billing.invoicing import document as documents
from billing.invoicing.archive import Archive, Prepared
from billing.invoicing.compose import Header, TakenBack, nonce
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.goodwill import Creditable, Wish, take
from billing.invoicing.guard import Guard
from billing.invoicing.invoice import Invoice
from billing.invoicing.issuer import invoice_document, require_reason
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.numbering import credit_note_series, number_text
from billing.invoicing.postings import Noted
from billing.invoicing.store import credit, notes
from billing.invoicing.tax import TaxAmount
from billing.invoicing.writer import House
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.trail.store import Deed, record

CREDITABLE: Final = (InvoiceStatus.OPEN, InvoiceStatus.PAID)

Settle = Callable[[Session, int], None]
"""Brings an invoice's payments, credit and status in line with what is asked for now. Reconciliation knows; bootstrap wires it."""


class Noter:
    def __init__(self, database: Database, clock: Clock, archive: Archive, house: House, settle: Settle) -> None:
        self._database, self._clock, self._archive = database, clock, archive
        self._house, self._settle = house, settle
        self._guard = Guard(archive)

    def credit(self, number: str, wish: Wish, *, reason: str, actor: str) -> str:
        """Take something off an open or paid invoice; returns the number of the credit note.

        Raises Invalid without a reason, NotFound for a line that is not there, Conflict when less than that is left, or the
        invoice is void or given up.
        """
        with self._database.transaction() as session:
            done = self.write(session, number, wish, reason, actor)
        self.confirm(done)
        return done.number

    def write(self, session: Session, number: str, wish: Wish, reason: str, actor: str) -> Prepared:
        """The same within somebody else's transaction, who calls `confirm` after its commit."""
        require_reason(f"crediting {number}", reason)
        now = self._clock.now().replace(microsecond=0)
        self._guard.check(session, now)
        invoice_id = store.by_number(session, number).id
        status = store.lock(session, invoice_id)  # whoever books a payment on it, or credits it too, waits
        if status not in CREDITABLE:
            raise Conflict(f"{number} is {status.value}", remedy="only an open or paid invoice is credited")
        invoice, parsed = store.by_id(session, invoice_id), invoice_document(session, invoice_id)
        taken = take(creditable(session, invoice, parsed), wish)
        series = credit_note_series(self._house.series)
        note = number_text(series, store.next_counter(session, series))
        header = Header(self._house.issuer, note, nonce(), now, None, None, [])
        document = compose.partial_note(TakenBack(parsed, invoice.digest), header, reason, taken)
        content = documents.canonical(document)
        digest = documents.digest(content)
        tax = sum(one.units for one in taken.taxes)
        one = notes.Issued(document, content, digest, taken.total, tax, taken.lines)
        book(session, invoice, one, now)
        details = {"credit_note": note, "total": document.total, "digest": digest}
        record(session, Deed(now, actor, "invoice.credit", f"invoice {number}", reason, details))
        notices.tell(session, told.credit_note(document, digest, invoice), now)
        self._settle(session, invoice_id)
        prepared = Prepared(content, digest, note)
        self._archive.prepare([prepared], now)
        return prepared

    def confirm(self, done: Prepared) -> None:
        """Note in the archive that the transaction was committed. If nobody does, whoever issues next does."""
        self._archive.issued([done.digest], self._clock.now())


def creditable(session: Session, invoice: Invoice, parsed: InvoiceDocument) -> Creditable:
    currency = invoice.currency
    return Creditable(
        number=invoice.number,
        currency=currency,
        amounts=[parse_units(line.amount, currency).units for line in parsed.lines],
        taxes=[
            TaxAmount(one.name, parse_rate(one.rate), parse_units(one.amount, currency).units) for one in parsed.tax
        ],
        taken=notes.taken(session, invoice.id),
    )


def book(session: Session, invoice: Invoice, one: notes.Issued, now: datetime) -> None:
    """Store a credit note in part and what follows from it: what the invoice had paid with credit beyond the rest is held again.
    The caller lets the payments be allocated anew."""
    before, after = (max(0, noted - invoice.amount_due) for noted in (invoice.noted, invoice.noted + one.total))
    notes.add(session, one, invoice.id)
    back = credit.give_back(session, invoice.id, now, after - before) if after > before else {}
    skus = {line.position: line.sku for line in store.lines(session, invoice.id)}
    revenues: dict[str, int] = defaultdict(int)
    for position, units in one.lines.items():
        revenues[skus[position]] += units
    ledger.post(session, postings.credit_note(invoice, revenues, one.tax, back, Noted(one.document.number, now)))

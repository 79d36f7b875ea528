"""Issues and voids invoices. A document is in the archive before its transaction commits, and numbers have no gap."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.invoicing import calendar, compose, cycle, postings, store, told
from billing.invoicing import document as documents
from billing.invoicing.archive import Archive, Prepared
from billing.invoicing.compose import Header, TakenBack, nonce
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.draft import Draft
from billing.invoicing.drafter import Drafter, Incomplete
from billing.invoicing.guard import Guard
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceEvent
from billing.invoicing.numbering import credit_note_series, number_text
from billing.invoicing.store import credit, notes, periods, writeoffs
from billing.invoicing.writer import House, Writer
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.notices.notice import NoticeType
from billing.pricing import store as pricing
from billing.tenants.tenant import checked_order
from billing.trail.store import Deed, record

BATCH: Final = 100
"""Invoices in one transaction, and behind one fsync."""
REASON_MAX: Final = 200
"""What a credit note's document has room for."""


def require_reason(what: str, reason: str) -> None:
    """Raises Invalid: the reason is printed on the credit note."""
    if not 0 < len(reason.strip()) <= REASON_MAX or not reason.isprintable():
        raise Invalid(f"{what} needs a reason of at most {REASON_MAX} printable characters", remedy="--reason '...'")


def invoice_document(session: Session, invoice_id: int) -> InvoiceDocument:
    """An issued invoice's document."""
    parsed = documents.parse(store.document(session, invoice_id))
    assert isinstance(parsed, InvoiceDocument)
    return parsed


class Issuer:
    def __init__(
        self, database: Database, clock: Clock, drafter: Drafter, archive: Archive, house: House,
        fence: Callable[[Session], None],
    ) -> None:  # fmt: skip
        """`fence` is called in every transaction and raises when this process may not issue any more."""
        self._database, self._clock, self._drafter = database, clock, drafter
        self._archive, self._house, self._fence = archive, house, fence
        self._guard = Guard(archive)
        self._seen_running: dict[datetime, calendar.Running] = {}
        """What was looked at within running periods: their usage is rated once an hour, not at every tick."""
        self._writer = Writer(house)

    def tick(self) -> int:
        """Invoice the periods that are over and past their grace. Returns how many invoices were issued.

        A payer whose invoice was voided is left to a person: `invoice issue` replaces it. Raises Conflict like `run`, once
        everybody else has been invoiced; a payer's periods are invoiced in order.
        """
        now = self._clock.now()
        with self._database.transaction() as session:
            self._guard.check(session, now)
            due, running = calendar.due(session, self._drafter, now), calendar.running(session, now)
        issued, waiting = 0, set[int]()
        refused: list[Conflict] = []
        for period, payers in due.items():
            try:
                issued += len(self.run(period, only=payers - waiting))
            except Conflict as error:
                refused.append(error)
                waiting |= payers
        for one in running:
            try:
                issued += len(self._within(one))
            except Conflict as error:
                refused.append(error)
        if refused:
            raise refused[0]
        return issued

    def run(
        self,
        period: Span,
        payer: str = "",
        *,
        only: Collection[int] | None = None,
        actor: str = "daemon",
        purchase_order: str = "",
    ) -> list[Invoice]:
        """Issue the invoices of a period: one payer's (then also after a void, and with a purchase order of its own), those of
        `only` some, or those of everybody who is invoiced in such periods and has none yet.

        Raises Conflict while the period or its readings are not complete, or something used has no price.
        """
        cycle.require_over(period, self._clock.now())
        if purchase_order and not payer:
            raise Invalid("a purchase order is one payer's", remedy="name the tenant")
        order = checked_order(purchase_order)
        with self._database.transaction() as session:
            payers = self._drafter.payers(session, period, payer, only)

        def wanted(session: Session, batch: Collection[int]) -> list[Draft]:
            self._drafter.require_complete(session, period, self._clock.now())
            found = self._drafter.draft(session, period, only=batch).drafts
            known = store.payers_with_invoice(session, period, batch)
            periods.require_open(session, [draft.payer.id for draft in found], period)
            mine = [draft for draft in found if payer or draft.payer.id not in known]
            return [replace(draft, purchase_order=order or draft.purchase_order) for draft in mine]

        batches = [payers[start : start + BATCH] for start in range(0, len(payers), BATCH)]
        return [one for batch in batches for one in self._issue_batch(partial(wanted, batch=batch), actor)]

    def _within(self, running: calendar.Running) -> list[Invoice]:
        """Invoice payers whose usage in a running period costs as much as their threshold and is not invoiced yet. What has
        not been read yet waits for the next hour."""
        if running == self._seen_running.get(running.span.start):
            return []

        def wanted(session: Session) -> list[Draft]:
            self._drafter.require_complete(session, running.span, self._clock.now(), final=False)
            found = self._drafter.draft(session, running.span, only=running.thresholds, final=False).drafts
            return [draft for draft in found if draft.accrued.units >= running.thresholds[draft.payer.id]]

        try:
            issued = self._issue_batch(wanted, "daemon")
        except Incomplete:
            return []
        if len(issued) < BATCH:
            self._seen_running[running.span.start] = running
        return issued

    def _issue_batch(self, wanted: Callable[[Session], list[Draft]], actor: str) -> list[Invoice]:
        now = self._clock.now().replace(microsecond=0)
        with self._database.transaction() as session:
            self._fence(session)
            self._guard.check(session, now)
            prepared, ids = self._writer.write(session, wanted(session)[:BATCH], now, actor)
            if prepared:
                self._archive.prepare(prepared, now)
        self._archive.issued([one.digest for one in prepared], now)
        with self._database.transaction() as session:
            return store.listed(session, store.Filter(ids=ids))

    def void(self, number: str, *, reason: str, actor: str) -> str:
        """Take an open invoice back with a cancelling credit note, whose number is returned. Its usage may be invoiced
        again. Raises Invalid without a reason, Conflict when it is not open, or money was paid on it."""
        require_reason(f"voiding {number}", reason)
        now = self._clock.now().replace(microsecond=0)
        with self._database.transaction() as session:
            self._guard.check(session, now)
            invoice_id = store.by_number(session, number).id
            store.lock(session, invoice_id)  # whoever is about to book a payment on it waits, or was faster
            invoice = store.by_id(session, invoice_id)
            store.move(session, invoice.id, InvoiceEvent.VOID, now)
            if invoice.paid:
                raise Conflict(f"{number} has payments on it", remedy=f"stablemeter invoice credit {number}")
            if invoice.noted:
                raise Conflict(f"{number} has credit notes on it", remedy=f"stablemeter invoice credit {number}")
            series = credit_note_series(self._house.series)
            note = number_text(series, store.next_counter(session, series))
            header = Header(self._house.issuer, note, nonce(), now, None, None, [])
            taken_back = TakenBack(invoice_document(session, invoice.id), invoice.digest)
            document = compose.void_note(taken_back, header, reason)
            content = documents.canonical(document)
            digest = documents.digest(content)
            notes.add(session, notes.Issued(document, content, digest, invoice.total, invoice.tax, {}), invoice.id)
            pricing.cancel(session, invoice.id)
            credit.give_back(session, invoice.id, now)
            self._take_write_off_back(session, invoice, now)
            ledger.reverse(session, ledger.of_invoice(session, invoice.id), now)
            record(session, Deed(now, actor, "invoice.void", f"invoice {number}", reason, {"credit_note": note}))
            notices.tell(session, told.changed(NoticeType.INVOICE_VOIDED, invoice), now)
            notices.tell(session, told.credit_note(document, digest, invoice), now)
            self._archive.prepare([Prepared(content, digest, note)], now)
        self._archive.issued([digest], now)
        return note

    @staticmethod
    def _take_write_off_back(session: Session, invoice: Invoice, now: datetime) -> None:
        """What is not owed any more is not lost either."""
        lost = writeoffs.given_up(session, [invoice.id]).get(invoice.id, 0)
        if lost:
            ledger.post(session, postings.write_off(invoice, -lost, now))
        writeoffs.end(session, invoice.id, now)

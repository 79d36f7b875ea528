"""Brings what the books say about an invoice in line with the transfers and decisions that stand: its allocations, credit and
status. Whoever changes what stands (the reconciler, a person) calls it in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.core.money import decimal_text
from billing.db.engine import Session
from billing.invoicing import document as documents
from billing.invoicing import postings as issued
from billing.invoicing import store as invoicing
from billing.invoicing import told
from billing.invoicing.document import ByFeed, InvoiceDocument, Settlement
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceEvent, InvoiceStatus
from billing.invoicing.store import credit, writeoffs
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.notices.notice import NoticeType
from billing.reconciliation import postings, store
from billing.reconciliation.matching import Allocation, Incoming, Owed, allocate, unpaid
from billing.reconciliation.store import Payment, assignments
from billing.reconciliation.store.assignments import Assignment
from billing.tenants import store as tenants


@dataclass(slots=True)
class Allocated:
    """What came of it."""

    paid: int = 0
    reopened: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Gone:
    """What stood on an invoice until now: a payment to its address, or what a person applied of another one."""

    payment: Payment | None = None
    assignment: Assignment | None = None

    @property
    def allocations(self) -> list[Allocation]:
        return [one.allocation for one in (self.payment, self.assignment) if one is not None]


def accepted(session: Session, invoice_id: int) -> dict[tuple[int, str], Settlement]:
    """{(chain id, token address): terms} that the invoice's document accepts, for ever."""
    parsed = documents.parse(invoicing.document(session, invoice_id))
    assert isinstance(parsed, InvoiceDocument)
    return {(one.chain_id, one.token_address): one for one in parsed.settlement}


def reallocate(
    session: Session, invoices: Sequence[Invoice], now: datetime, gone: Gone = Gone(), also: Sequence[int] = ()
) -> Allocated:
    """Allocate anew what stands on some invoices of one payer, which the caller has locked. `gone` stood on the first one;
    `also` are payments whose rest becomes that payer's credit."""
    done, touched = Allocated(), set(also)
    for invoice in invoices:
        touched |= _reallocate(session, invoice, now, gone, done)
        gone = Gone()
    for payment_id in sorted(touched):
        _settle_assigned(session, payment_id, invoices[0], now)
    return done


@dataclass(frozen=True, slots=True)
class _Standing:
    """What stands on an invoice: a payment to its address, or what a person applied of another one."""

    payment: Payment
    incoming: Incoming
    assignment: Assignment | None = None

    @property
    def booked(self) -> Allocation:
        return self.payment.allocation if self.assignment is None else self.assignment.allocation


def _reallocate(session: Session, invoice: Invoice, now: datetime, gone: Gone, done: Allocated) -> set[int]:
    """Returns the payments that persons applied to it: their credit has to be set."""
    credit.lock(session, invoice.id)
    standing, owed = _standing(session, invoice), _owed(session, invoice)
    after = allocate(owed, [one.incoming for one in standing])
    key = (invoice.id, invoice.tenant_id, invoice.number, invoice.currency.code)
    entry = postings.allocation(key, [one.booked for one in standing] + gone.allocations, after, now)
    if entry is not None:
        ledger.post(session, entry)
    if gone.payment is not None:
        store.clear(session, gone.payment.id, now)
        credit.set_credit(session, gone.payment.transfer_id, None, now)
        done.asked += ask_about_used(session, gone.payment.transfer_id, invoice, now)
    touched = set()
    for one, allocation in zip(standing, after, strict=True):
        if one.assignment is None:
            store.write(session, allocation, invoice.currency.code, now)
            _grant(session, invoice, one.payment, allocation.credited, now)
        else:
            assignments.write(session, one.assignment.id, allocation)
            touched.add(one.payment.id)
    _settle(session, invoice, owed, unpaid(owed, after), (now, done))
    return touched


def _standing(session: Session, invoice: Invoice) -> list[_Standing]:
    """In chain order."""
    terms = accepted(session, invoice.id)
    found = [_Standing(one, _incoming(came, terms[came.token])) for one, came in store.matched(session, invoice.id)]
    found += [_Standing(one, came, part) for part, one, came in assignments.to_invoice(session, invoice.id)]
    place = assignments.in_chain_order(session, [one.payment.transfer_id for one in found])
    return sorted(found, key=lambda one: place[one.payment.transfer_id])


def _incoming(one: Incoming, terms: Settlement) -> Incoming:
    return replace(one, decimals=terms.decimals, has_par=not isinstance(terms.rule, ByFeed))


def _owed(session: Session, invoice: Invoice) -> Owed:
    """Nothing is owed on a void invoice."""
    tolerance = next(one for one in tenants.listed(session) if one.id == invoice.tenant_id).tolerance_units
    due = 0 if invoice.status is InvoiceStatus.VOID else invoice.claim
    given_up = invoice.id in writeoffs.given_up(session, [invoice.id])
    return Owed(due, invoice.currency, tolerance, invoice.due_at, given_up)


def _grant(session: Session, invoice: Invoice, payment: Payment, units: int, now: datetime) -> None:
    """What a payment leaves over is the payer's credit, which may be used once the transfer is final."""
    transfer = chain.by_id(session, payment.transfer_id)
    final = transfer.state is ChainState.FINAL
    grant = credit.Grant(invoice.tenant_id, "overpayment", invoice.currency.code, units, transfer.tx_hash, final)
    credit.set_credit(session, transfer.id, grant, now)


def _settle_assigned(session: Session, payment_id: int, invoice: Invoice, now: datetime) -> None:
    """A payment that persons applied to invoices: what they left of it is its tenant's credit."""
    payment = store.by_id(session, payment_id)
    applied = assignments.applied(session, payment_id)
    left = payment.allocation.value - applied
    store.write(session, replace(payment.allocation, applied=applied, credited=left), invoice.currency.code, now)
    _grant(session, invoice, payment, left, now)


def _settle(session: Session, invoice: Invoice, owed: Owed, left: int, noted: tuple[datetime, Allocated]) -> None:
    """The write-off and the status that follow from what is left to pay."""
    now, done = noted
    if owed.given_up:
        before = writeoffs.given_up(session, [invoice.id])[invoice.id]
        if more := max(0, left) - before:
            ledger.post(session, issued.write_off(invoice, more, now))
            writeoffs.set_units(session, invoice.id, max(0, left))
    if left <= 0 and invoice.status in (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE):
        invoicing.move(session, invoice.id, InvoiceEvent.SETTLE, now)
        notices.tell(session, told.changed(NoticeType.INVOICE_PAID, invoice), now)
        done.paid += 1
    elif left > 0 and invoice.status is InvoiceStatus.PAID:
        invoicing.move(session, invoice.id, InvoiceEvent.REOPEN, now)
        notices.tell(session, told.changed(NoticeType.INVOICE_REOPENED, invoice), now)
        done.reopened += 1
    if left > 0 and owed.given_up and invoice.status is not InvoiceStatus.UNCOLLECTIBLE:
        invoicing.move(session, invoice.id, InvoiceEvent.GIVE_UP, now)


def ask_about_used(session: Session, transfer_id: int, invoice: Invoice, now: datetime) -> int:
    """Only final credit is used; so it takes a person who rewinds a chain to take a transfer back whose credit was. Returns
    how many questions are new."""
    used = credit.used_of(session, transfer_id)
    if used <= 0:
        return 0
    amount = decimal_text(used, invoice.currency.exponent)
    question = store.Question(
        kind="credit_used",
        subject=f"credit of transfer {transfer_id}",
        detail=f"{amount} {invoice.currency.code} of its credit pay other invoices, and the chain took it back",
        suggestion=f"ask the payer of {invoice.number} for it; until then its credit is overdrawn",
        invoice_id=invoice.id,
        tenant_id=invoice.tenant_id,
    )
    return int(store.keep_asking(session, question, now))

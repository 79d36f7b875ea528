"""Applies suspended money to invoices, as a person decided: one transfer or several, one invoice or several, whole or not at
all. What is over is the tenant's credit. Matching takes it from there: what was applied is an input of every later allocation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.chain.store import tokens
from billing.chain.transfer import Transfer
from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset, Money, parse_units
from billing.db.engine import Database, Session
from billing.invoicing import store as invoicing
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.ledger import store as ledger
from billing.pricing import store as pricing
from billing.quotes.feed import Rate
from billing.reconciliation import postings, store
from billing.reconciliation.allocator import reallocate
from billing.reconciliation.lifecycle import DispositionEvent
from billing.reconciliation.resolver import Credited, Resolution, worth
from billing.reconciliation.splitting import Target, shares, spread
from billing.reconciliation.store import Payment, assignments
from billing.reconciliation.store.assignments import Decision
from billing.trail.store import Deed, record

AT_ONCE: Final = 50
"""Exceptions and invoices in one decision."""


@dataclass(frozen=True, slots=True)
class To:
    """An invoice, and how much of the money it shall have as decimal text; empty: as much as it takes."""

    invoice: str
    amount: str = ""


@dataclass(frozen=True, slots=True)
class _Money:
    """Suspended money that a person decides about."""

    exception: int
    asked: store.Question
    transfer: Transfer
    payment: Payment
    value: int
    rate: Rate


class Applier:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def apply(
        self, exceptions: Sequence[int], to: Sequence[To], *, reason: str, actor: str, credited: Credited | None = None
    ) -> str:
        """Close exceptions by applying their money to invoices of one payer. Returns one line that says what was booked.

        Raises Invalid for amounts that cannot be, Conflict when somebody else was faster, a transfer is not final, or an invoice is
        paid or void.
        """
        if not reason.strip():
            raise Invalid("resolving an exception needs a reason", remedy="--reason '...'")
        _require_few("exception", [str(one) for one in exceptions])
        _require_few("invoice", [one.invoice for one in to])
        with self._database.transaction() as session:
            currency, credited = pricing.currency(session), credited or Credited()
            money = self._answered(session, sorted(exceptions), credited, (reason, actor), currency)
            invoices = self._invoices(session, to, currency)
            self._require_payer(money, invoices[0], credited)
            wanted = [parse_units(one.amount, currency).units if one.amount else None for one in to]
            targets = [Target(i.number, i.remaining, one) for i, one in zip(invoices, wanted, strict=True)]
            given = shares(sum(one.value for one in money), targets, currency)
            self._book(session, money, invoices, given, Decision(actor, reason, self._clock.now()))
            done = self._told(money, invoices, given, currency)
            self._record(session, money, done, (reason, actor))
        return done

    def _answered(
        self, session: Session, exceptions: Sequence[int], given: Credited, why: tuple[str, str], currency: Asset
    ) -> list[_Money]:
        """The money behind the exceptions, which are closed. Holds them, and their payments."""
        now, (reason, actor), found = self._clock.now(), why, []
        known = tokens.known(session)
        for one in exceptions:
            asked = store.answer(session, one, resolution=Resolution.APPLY, reason=reason, actor=actor, now=now)
            if asked.transfer_id is None:
                raise Invalid(f"no money came in: {asked.detail}", remedy="--as acknowledge")
            transfer = chain.by_id(session, asked.transfer_id)
            if transfer.state is not ChainState.FINAL:
                raise Conflict("the transfer is not final yet", remedy="wait until its block cannot be taken back")
            payment = store.find(session, transfer.id, transfer.incarnation)
            assert payment is not None
            token = known[transfer.chain_id, transfer.token]
            value, rate = worth(asked, given, transfer, token, currency)
            found.append(_Money(one, asked, transfer, payment, value, rate))
        if given.rate is not None and len({(one.transfer.chain_id, one.transfer.token) for one in found}) > 1:
            raise Invalid("one rate cannot be that of several tokens", remedy="resolve them one by one")
        return found

    @staticmethod
    def _invoices(session: Session, to: Sequence[To], currency: Asset) -> list[Invoice]:
        """The invoices in the order given, each held for this transaction."""
        for invoice_id in sorted(invoicing.by_number(session, one.invoice).id for one in to):
            invoicing.lock(session, invoice_id)
        found = [invoicing.by_number(session, one.invoice) for one in to]
        for one in found:
            if one.status not in (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE) or one.remaining <= 0:
                raise Conflict(
                    f"{one.number} is {one.status}: nothing is owed on it", remedy="stablemeter invoice list"
                )
            if one.currency != currency:
                raise Invalid(f"{one.number} is in {one.currency.code}, and the money is counted in {currency.code}")
            if one.tenant_id != found[0].tenant_id:
                raise Invalid(
                    f"{one.number} is {one.tenant}'s, and {found[0].number} is {found[0].tenant}'s",
                    remedy="one payer at a time: what is left over is its credit",
                )
        return found

    @staticmethod
    def _require_payer(money: Sequence[_Money], invoice: Invoice, given: Credited) -> None:
        """Money that came in for one payer pays for another one only if the person says so."""
        if given.tenant and given.tenant != invoice.tenant:
            raise Invalid(f"{invoice.number} is {invoice.tenant}'s, not {given.tenant}'s")
        for one in money:
            if one.asked.tenant_id not in (None, invoice.tenant_id) and not given.tenant:
                raise Invalid(
                    f"the money of exception {one.exception} came in for another tenant than {invoice.tenant}",
                    remedy=f"--tenant {invoice.tenant} says that you mean it",
                )

    def _book(
        self,
        session: Session,
        money: Sequence[_Money],
        invoices: Sequence[Invoice],
        given: Sequence[int],
        why: Decision,
    ) -> None:
        """All of it becomes the tenant's credit, and what was applied leaves the credit for the invoices."""
        known, payer, currency = tokens.known(session), invoices[0].tenant_id, invoices[0].currency
        parts = spread([one.value for one in money], given)
        for one, mine in zip(money, parts, strict=True):
            store.move(session, one.payment.id, DispositionEvent.RESOLVE, why.at, why.reason)
            store.give_rate(session, one.payment.id, one.rate)
            store.give_tenant(session, one.payment.id, payer)
            token = known[one.transfer.chain_id, one.transfer.token]
            entry = postings.credit_from_suspense(one.transfer, token, payer, currency.code, one.value, why.at)
            ledger.post(session, entry)
            whole = replace(one.payment.allocation, value=one.value, credited=one.value)
            store.write(session, whole, currency.code, why.at)
            assignments.add(session, one.payment.id, [(invoices[place].id, units) for place, units in mine], why)
        reallocate(session, invoices, why.at, also=[one.payment.id for one in money])

    @staticmethod
    def _told(money: Sequence[_Money], invoices: Sequence[Invoice], given: Sequence[int], currency: Asset) -> str:
        paid = ", ".join(f"{Money(u, currency)} on {i.number}" for i, u in zip(invoices, given, strict=True))
        left = sum(one.value for one in money) - sum(given)
        return f"{paid}; {Money(left, currency)} are {invoices[0].tenant}'s credit" if left else paid

    def _record(self, session: Session, money: Sequence[_Money], done: str, why: tuple[str, str]) -> None:
        reason, actor = why
        together = [one.exception for one in money]
        for one in money:
            details = {"kind": one.asked.kind, "as": Resolution.APPLY, "booked": done, "together": together}
            record(session, Deed(self._clock.now(), actor, "exception.resolve", one.asked.subject, reason, details))


def _require_few(what: str, named: Sequence[str]) -> None:
    if not 0 < len(named) <= AT_ONCE:
        raise Invalid(f"{len(named)} {what}s cannot be decided at once", remedy=f"name 1 to {AT_ONCE}")
    if len(set(named)) < len(named):
        raise Invalid(f"an {what} is named twice", remedy="name each once")

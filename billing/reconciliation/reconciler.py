"""Deals with every change of every transfer: books it, matches it, takes it back; and asks about disputed usage. Killed at
any line, it loses nothing: a transfer counts as settled in the transaction that books it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from billing.chain import store as chain
from billing.chain.lifecycle import ChainState
from billing.chain.store import tokens
from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.core.clock import Clock
from billing.core.errors import Unavailable, Untrusted
from billing.core.money import decimal_text
from billing.db.engine import Database, Session
from billing.events.meter import Meter
from billing.invoicing import store as invoicing
from billing.invoicing.deposit import Deposit
from billing.invoicing.document import Settlement
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import credit, deposits
from billing.ledger import store as ledger
from billing.quotes import store as quotes
from billing.quotes.feed import At, Feed, NoRate, Rate
from billing.reconciliation import crediter, postings, store
from billing.reconciliation.allocator import Gone, accepted, ask_about_used, reallocate
from billing.reconciliation.asker import ask_about_disputes, ask_about_unpriced
from billing.reconciliation.holder import Holder
from billing.reconciliation.lifecycle import Disposition, DispositionEvent
from billing.reconciliation.matching import MatchKind
from billing.reconciliation.postings import Role
from billing.reconciliation.refunder import take_refunds_back
from billing.reconciliation.store import assignments
from billing.reconciliation.told import tell_credited, tell_seen
from billing.reconciliation.valuation import PAR, best, feed_of
from billing.wallets import store as wallets
from billing.wallets.store import PaymentAddress

BATCH: Final = 100
REST: Final = timedelta(seconds=30)
"""A chain whose endpoints did not tell a rate is left alone for so long."""


@dataclass(slots=True)
class Settled:
    """What a tick did."""

    booked: int = 0
    reversed: int = 0
    held: int = 0
    """A person decides: their sender is on a list."""
    exceptions: int = 0
    invoices_paid: int = 0
    invoices_reopened: int = 0
    waiting: int = 0
    """No endpoint could tell the rate, or whether the sender may pay: asked again at the next tick."""


class Rates(Protocol):
    """Who knows what a token was worth at a block. Raises Unavailable or Untrusted: to be asked again later."""

    def rate(self, chain_id: int, at: At, feed: Feed) -> Rate | NoRate: ...


Incarnation = tuple[int, int, str]
"""(transfer id, incarnation, block hash): what a rate was read for."""


class Reconciler:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        fence: Callable[[Session], None],
        rates: Rates,
        meters: Sequence[Meter] = (),
        holder: Holder | None = None,
    ) -> None:
        """`fence` is called in every transaction and raises when this process may not reconcile any more. `meters` are the
        declared ones. Without a `holder` no sender is screened."""
        self._database, self._clock, self._fence = database, clock, fence
        self._rates, self._meters, self._holder = rates, meters, holder or Holder(clock)
        self._found: dict[Incarnation, Rate | NoRate] = {}
        self._asked_again_at: dict[int, datetime] = {}

    def tick(self) -> Settled:
        """Deal with everything that changed since the last tick."""
        done, waiting = Settled(), set[int]()
        self._found.clear()
        self._holder.begin()
        while True:
            wanted: list[tuple[Transfer, Feed]] = []
            unscreened: list[Transfer] = []
            with self._database.transaction() as session:
                self._fence(session)
                batch = chain.unsettled(session, BATCH, waiting)
                for transfer in batch:
                    if self._holder.must_ask(session, transfer):
                        unscreened.append(transfer)
                        continue
                    feed = self._feed(session, transfer)
                    if feed is not None and _key(transfer) not in self._found:
                        wanted.append((transfer, feed))
                        continue
                    self._deal_with(session, transfer, done)
                    chain.settle(session, transfer.id)
            waiting |= self._read_rates(wanted) | self._holder.ask(unscreened)
            if len(batch) < BATCH and not wanted and not unscreened:
                break
        done.waiting = len(waiting)
        self._ask_more(done)
        return done

    def _read_rates(self, wanted: Sequence[tuple[Transfer, Feed]]) -> set[int]:
        """Ask the feeds, outside of any transaction. Returns the transfers that must wait. A chain whose endpoints did not
        answer is not asked again for a while: it delays nobody else."""
        waiting: set[int] = set()
        for transfer, feed in wanted:
            at = At(transfer.block_number, transfer.block_hash, transfer.mined_at)
            try:
                if self._clock.now() < self._asked_again_at.get(transfer.chain_id, self._clock.now()):
                    waiting.add(transfer.id)
                else:
                    self._found[_key(transfer)] = self._rates.rate(transfer.chain_id, at, feed)
            except (Unavailable, Untrusted):
                waiting.add(transfer.id)
                self._asked_again_at[transfer.chain_id] = self._clock.now() + REST
        return waiting

    def _feed(self, session: Session, transfer: Transfer) -> Feed | None:
        """The feed that must be asked before a transfer is booked; None when it is booked already, or needs no rate."""
        if transfer.state not in (ChainState.CONFIRMED, ChainState.FINAL) or self._holder.stops(transfer):
            return None
        target = wallets.known(session, transfer.receiver)
        if target is None or (target.invoice_id is None and target.deposit_id is None):
            return None
        if store.booked(session, transfer.id, transfer.incarnation):
            return None
        if target.deposit_id is not None:
            taken = crediter.accepted(deposits.by_id(session, target.deposit_id))
        else:
            assert target.invoice_id is not None
            taken = accepted(session, target.invoice_id)
        terms = taken.get((transfer.chain_id, transfer.token))
        return None if terms is None else feed_of(terms.rule)

    def _ask_more(self, done: Settled) -> None:
        while True:
            with self._database.transaction() as session:
                self._fence(session)
                new, seen = ask_about_disputes(session, self._clock.now(), BATCH)
                done.exceptions += new
            if seen < BATCH:
                break
        with self._database.transaction() as session:
            self._fence(session)
            done.exceptions += self._holder.look_back(session)
            done.exceptions += ask_about_unpriced(session, self._meters, self._clock.now())

    def _deal_with(self, session: Session, transfer: Transfer, done: Settled) -> None:
        """An earlier incarnation may still stand: its block left the chain and came back between two ticks."""
        for payment in store.standing(session, transfer.id):
            if transfer.state is ChainState.ORPHANED or payment.incarnation < transfer.incarnation:
                self._take_back(session, payment, done)
        if transfer.state is ChainState.ORPHANED:
            self._holder.taken_back(session, transfer)
        else:
            tell_seen(session, transfer, self._clock.now())
        if transfer.state in (ChainState.CONFIRMED, ChainState.FINAL):
            if not store.booked(session, transfer.id, transfer.incarnation):
                self._book(session, transfer, done)
            if transfer.state is ChainState.FINAL:
                credit.finalise_credit(session, transfer.id, self._clock.now())
                tell_credited(session, transfer, self._clock.now())

    def _book(self, session: Session, transfer: Transfer, done: Settled) -> None:
        now, key = self._clock.now(), (transfer.id, transfer.incarnation)
        token = tokens.known(session)[transfer.chain_id, transfer.token]
        target = wallets.known(session, transfer.receiver)
        roles = (_role(wallets.known(session, transfer.sender)), _role(target))
        done.booked += 1
        released = store.find(session, *key) is not None
        if not released and self._holder.hold(session, transfer, token):
            done.held += 1
            done.exceptions += 1
            return
        problem: MatchKind | None = None
        payee: Invoice | Deposit | None = None
        if target is not None and roles[1] is Role.PAYMENT:
            payee, problem = self._target(session, transfer, target)
        rate = self._rate(session, transfer, payee) if payee is not None and problem is None else None
        if isinstance(rate, NoRate):
            problem = MatchKind.NO_RATE
        moved = [postings.release(transfer, token, problem is not None, now)]
        for entry in moved if released else postings.movement(transfer, token, roles, problem is not None, now):
            ledger.post(session, entry)
        if roles[1] is not Role.PAYMENT:
            store.add(session, key, DispositionEvent.BOOK, now)
        elif problem is not None:
            suspect = (_invoice_id(payee), payee.tenant_id) if payee else None
            store.add(session, key, DispositionEvent.SUSPEND, now, invoice=suspect, kind=problem)
            why = rate.reason if isinstance(rate, NoRate) else ""
            self._ask(session, transfer, token, (problem, why), payee)
            done.exceptions += 1
        elif isinstance(payee, Deposit):
            assert isinstance(rate, Rate)
            crediter.top_up(session, transfer, payee, rate, now)
        else:
            invoice = payee
            assert invoice is not None and isinstance(rate, Rate)
            owner = (invoice.id, invoice.tenant_id)
            store.give_rate(session, store.add(session, key, DispositionEvent.MATCH, now, invoice=owner), rate)
            self._reallocate(session, invoice, done)

    def _target(
        self, session: Session, transfer: Transfer, target: PaymentAddress
    ) -> tuple[Invoice | Deposit | None, MatchKind | None]:
        """The invoice, or the deposit document, that an address is of, and why the transfer cannot pay it (None when it can).
        The document says what it may be paid in, whatever the settings accept by now."""
        if target.deposit_id is not None:
            return crediter.target(session, transfer, target.deposit_id)
        if target.invoice_id is None:
            return None, MatchKind.UNISSUED
        status = invoicing.lock(session, target.invoice_id)
        invoice = invoicing.by_id(session, target.invoice_id)
        if (transfer.chain_id, transfer.token) not in accepted(session, invoice.id):
            return invoice, MatchKind.WRONG_TOKEN
        if status is InvoiceStatus.VOID:
            return invoice, MatchKind.AFTER_VOID
        return invoice, None

    def _take_back(self, session: Session, payment: store.Payment, done: Settled) -> None:
        """A transfer's block left the chain: reverse what that incarnation booked."""
        now, transfer_id = self._clock.now(), payment.transfer_id
        done.reversed += 1
        done.exceptions += take_refunds_back(session, payment, now)
        if payment.disposition is Disposition.RESOLVED:
            credit.reverse_credit(session, transfer_id, now)
            store.clear(session, payment.id, now)
        ledger.reverse(session, ledger.of_transfer(session, transfer_id, payment.incarnation), now)
        store.move(session, payment.id, DispositionEvent.REVERSE, now, "its block left the chain")
        store.close_exceptions(session, transfer_id, "its block left the chain", now)
        if payment.disposition is Disposition.MATCHED and payment.invoice_id is not None:
            invoicing.lock(session, payment.invoice_id)
            self._reallocate(session, invoicing.by_id(session, payment.invoice_id), done, Gone(payment))
        elif payment.disposition is Disposition.MATCHED:
            done.exceptions += crediter.take_back(session, payment, now)
        if payment.disposition is Disposition.RESOLVED:
            self._take_decision_back(session, payment, done)

    def _take_decision_back(self, session: Session, payment: store.Payment, done: Settled) -> None:
        """What a person decided about a transfer goes with it: invoices that it was applied to are owed again."""
        invoice_id = payment.invoice_id
        for assigned in assignments.end(session, payment.id, self._clock.now()):
            invoice_id = assigned.invoice_id
            invoicing.lock(session, invoice_id)
            self._reallocate(session, invoicing.by_id(session, invoice_id), done, Gone(assignment=assigned))
        if invoice_id is not None:
            invoice = invoicing.by_id(session, invoice_id)
            done.exceptions += ask_about_used(session, payment.transfer_id, invoice, self._clock.now())

    def reallocate(self, session: Session, invoice_id: int) -> None:
        """What is asked for on an invoice changed: allocate its payments anew. The caller holds the invoice's lock."""
        self._reallocate(session, invoicing.by_id(session, invoice_id), Settled())

    def _reallocate(self, session: Session, invoice: Invoice, done: Settled, gone: Gone | None = None) -> None:
        """Bring an invoice's allocations, credit and status in line with what stands now."""
        allocated = reallocate(session, [invoice], self._clock.now(), gone or Gone())
        done.exceptions += allocated.asked
        done.invoices_paid += allocated.paid
        done.invoices_reopened += allocated.reopened

    def _rate(self, session: Session, transfer: Transfer, payee: Invoice | Deposit) -> Rate | NoRate:
        """What one token is worth, by the rule of the payee's document at the transfer's block, or as it was promised."""
        rule = self._accepted(session, payee)[transfer.chain_id, transfer.token].rule
        feed = feed_of(rule)
        if feed is None:
            return Rate(PAR, "par", transfer.mined_at)
        quoted = [one.rate for one in quotes.live(session, transfer.chain_id, feed, transfer.mined_at)]
        return best(rule, self._found[_key(transfer)], quoted)

    @staticmethod
    def _accepted(session: Session, payee: Invoice | Deposit) -> dict[tuple[int, str], Settlement]:
        """{(chain id, token address): terms} that the payee's document accepts, for ever."""
        return crediter.accepted(payee) if isinstance(payee, Deposit) else accepted(session, payee.id)

    def _ask(
        self,
        session: Session,
        transfer: Transfer,
        token: Token,
        problem: tuple[MatchKind, str],
        payee: Invoice | Deposit | None,
    ) -> None:
        kind, why = problem
        thing = f"deposit address {payee.number}" if isinstance(payee, Deposit) else "invoice"
        what = {
            MatchKind.WRONG_TOKEN: f"a token that the {thing} does not accept",
            MatchKind.AFTER_VOID: "a void invoice",
            MatchKind.UNISSUED: "an address whose invoice was never issued",
            MatchKind.NO_RATE: f"{'a' if isinstance(payee, Deposit) else 'an'} {thing}, but nobody knows what it is worth: {why}",
        }[kind]
        question = store.Question(
            kind=kind,
            subject=f"transfer {transfer.id}/{transfer.incarnation}",
            detail=f"{decimal_text(transfer.units, token.decimals)} {token.symbol} came in for {what}",
            suggestion=_suggestion(kind, payee),
            transfer_id=transfer.id,
            invoice_id=_invoice_id(payee),
            tenant_id=payee.tenant_id if payee else None,
        )
        store.ask(session, question, self._clock.now())


def _key(transfer: Transfer) -> Incarnation:
    return transfer.id, transfer.incarnation, transfer.block_hash


def _invoice_id(payee: Invoice | Deposit | None) -> int | None:
    return payee.id if isinstance(payee, Invoice) else None


def _suggestion(kind: MatchKind, payee: Invoice | Deposit | None) -> str:
    if payee is None:
        return "find out who paid, then credit or refund"
    return f"credit {payee.tenant}" + (" at a --rate that you can prove" if kind is MatchKind.NO_RATE else "")


def _role(address: PaymentAddress | None) -> Role:
    if address is None:
        return Role.OUTSIDE
    return Role.TREASURY if address.kind == "treasury" else Role.PAYMENT

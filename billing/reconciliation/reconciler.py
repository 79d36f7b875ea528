"""Deals with every change of every transfer: books it, matches it, takes it back; and asks about disputed usage. Killed at
any line, it loses nothing: a transfer counts as settled in the transaction that books it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from billing.invoicing import document as documents
from billing.invoicing import store as invoicing
from billing.invoicing import told
from billing.invoicing.document import ByFeed, InvoiceDocument, Settlement
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceEvent, InvoiceStatus
from billing.invoicing.store import credit
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.notices.notice import NoticeType
from billing.quotes import store as quotes
from billing.quotes.feed import At, Feed, NoRate, Rate
from billing.reconciliation import postings, store
from billing.reconciliation.asker import ask_about_disputes, ask_about_unpriced
from billing.reconciliation.lifecycle import Disposition, DispositionEvent
from billing.reconciliation.matching import Incoming, MatchKind, Owed, allocate
from billing.reconciliation.postings import Role
from billing.reconciliation.told import tell_seen
from billing.reconciliation.valuation import PAR, best, feed_of
from billing.tenants import store as tenants
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
    exceptions: int = 0
    invoices_paid: int = 0
    invoices_reopened: int = 0
    waiting: int = 0
    """No endpoint could tell the rate: asked again at the next tick."""


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
    ) -> None:
        """`fence` is called in every transaction and raises when this process may not reconcile any more. `meters` are the
        declared ones."""
        self._database, self._clock, self._fence = database, clock, fence
        self._rates, self._meters = rates, meters
        self._found: dict[Incarnation, Rate | NoRate] = {}
        self._asked_again_at: dict[int, datetime] = {}

    def tick(self) -> Settled:
        """Deal with everything that changed since the last tick."""
        done, waiting = Settled(), set[int]()
        self._found.clear()
        while True:
            wanted: list[tuple[Transfer, Feed]] = []
            with self._database.transaction() as session:
                self._fence(session)
                batch = chain.unsettled(session, BATCH, waiting)
                for transfer in batch:
                    feed = self._feed(session, transfer)
                    if feed is not None and _key(transfer) not in self._found:
                        wanted.append((transfer, feed))
                        continue
                    self._deal_with(session, transfer, done)
                    chain.settle(session, transfer.id)
            waiting |= self._read_rates(wanted)
            if len(batch) < BATCH and not wanted:
                break
        done.waiting = len(waiting)
        self._ask_about_usage(done)
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
        if transfer.state not in (ChainState.CONFIRMED, ChainState.FINAL):
            return None
        target = wallets.known(session, transfer.receiver)
        if target is None or target.invoice_id is None:
            return None
        if store.find(session, transfer.id, transfer.incarnation) is not None:
            return None
        terms = self._accepted(session, target.invoice_id).get((transfer.chain_id, transfer.token))
        return None if terms is None else feed_of(terms.rule)

    def _ask_about_usage(self, done: Settled) -> None:
        while True:
            with self._database.transaction() as session:
                self._fence(session)
                new, seen = ask_about_disputes(session, self._clock.now(), BATCH)
                done.exceptions += new
            if seen < BATCH:
                break
        with self._database.transaction() as session:
            self._fence(session)
            done.exceptions += ask_about_unpriced(session, self._meters, self._clock.now())

    def _deal_with(self, session: Session, transfer: Transfer, done: Settled) -> None:
        """An earlier incarnation may still stand: its block left the chain and came back between two ticks."""
        for payment in store.standing(session, transfer.id):
            if transfer.state is ChainState.ORPHANED or payment.incarnation < transfer.incarnation:
                self._take_back(session, payment, done)
        if transfer.state is not ChainState.ORPHANED:
            tell_seen(session, transfer, self._clock.now())
        if transfer.state in (ChainState.CONFIRMED, ChainState.FINAL):
            if store.find(session, transfer.id, transfer.incarnation) is None:
                self._book(session, transfer, done)
            if transfer.state is ChainState.FINAL:
                credit.finalise_credit(session, transfer.id, self._clock.now())

    def _book(self, session: Session, transfer: Transfer, done: Settled) -> None:
        now, key = self._clock.now(), (transfer.id, transfer.incarnation)
        token = tokens.known(session)[transfer.chain_id, transfer.token]
        target = wallets.known(session, transfer.receiver)
        roles = (_role(wallets.known(session, transfer.sender)), _role(target))
        done.booked += 1
        problem: MatchKind | None = None
        invoice = None
        if target is not None and roles[1] is Role.PAYMENT:
            invoice, problem = self._target(session, transfer, target)
        rate = self._rate(session, transfer, invoice) if invoice is not None and problem is None else None
        if isinstance(rate, NoRate):
            problem = MatchKind.NO_RATE
        for entry in postings.movement(transfer, token, roles, problem is not None, now):
            ledger.post(session, entry)
        if roles[1] is not Role.PAYMENT:
            store.add(session, key, DispositionEvent.BOOK, now)
        elif problem is not None:
            suspect = (invoice.id, invoice.tenant_id) if invoice else None
            store.add(session, key, DispositionEvent.SUSPEND, now, invoice=suspect, kind=problem)
            why = rate.reason if isinstance(rate, NoRate) else ""
            self._ask(session, transfer, token, (problem, why), invoice)
            done.exceptions += 1
        else:
            assert invoice is not None and isinstance(rate, Rate)
            owner = (invoice.id, invoice.tenant_id)
            store.give_rate(session, store.add(session, key, DispositionEvent.MATCH, now, invoice=owner), rate)
            self._reallocate(session, invoice, done)

    def _target(
        self, session: Session, transfer: Transfer, target: PaymentAddress
    ) -> tuple[Invoice | None, MatchKind | None]:
        """The invoice that an address is of, and why the transfer cannot pay it (None when it can). The invoice's document
        says what it may be paid in, whatever the settings accept by now."""
        if target.invoice_id is None:
            return None, MatchKind.UNISSUED
        status = invoicing.lock(session, target.invoice_id)
        invoice = invoicing.by_id(session, target.invoice_id)
        if (transfer.chain_id, transfer.token) not in self._accepted(session, invoice.id):
            return invoice, MatchKind.WRONG_TOKEN
        if status is InvoiceStatus.VOID:
            return invoice, MatchKind.AFTER_VOID
        return invoice, None

    def _take_back(self, session: Session, payment: store.Payment, done: Settled) -> None:
        """A transfer's block left the chain: reverse what that incarnation booked."""
        now, transfer_id = self._clock.now(), payment.transfer_id
        done.reversed += 1
        if payment.disposition is Disposition.RESOLVED:
            credit.reverse_credit(session, transfer_id, now)
            store.clear(session, payment.id, now)
        ledger.reverse(session, ledger.of_transfer(session, transfer_id, payment.incarnation), now)
        store.move(session, payment.id, DispositionEvent.REVERSE, now, "its block left the chain")
        store.close_exceptions(session, transfer_id, "its block left the chain", now)
        if payment.disposition is Disposition.MATCHED and payment.invoice_id is not None:
            invoicing.lock(session, payment.invoice_id)
            self._reallocate(session, invoicing.by_id(session, payment.invoice_id), done, taken_back=payment)

    def _reallocate(
        self, session: Session, invoice: Invoice, done: Settled, taken_back: store.Payment | None = None
    ) -> None:
        """Bring an invoice's allocations, credit and status in line with the transfers that stand now."""
        now, accepted = self._clock.now(), self._accepted(session, invoice.id)
        credit.lock(session, invoice.id)
        standing = store.matched(session, invoice.id)
        incoming = [_incoming(one, accepted[one.token]) for _, one in standing]
        tolerance = next(t for t in tenants.listed(session) if t.id == invoice.tenant_id).tolerance_units
        owed = Owed(invoice.claim, invoice.currency, tolerance, invoice.due_at)
        before = [payment.allocation for payment, _ in standing] + ([taken_back.allocation] if taken_back else [])
        after = allocate(owed, incoming)
        key = (invoice.id, invoice.tenant_id, invoice.number, invoice.currency.code)
        entry = postings.allocation(key, before, after, now)
        if entry is not None:
            ledger.post(session, entry)
        if taken_back is not None:
            store.clear(session, taken_back.id, now)
            credit.set_credit(session, taken_back.transfer_id, None, now)
            done.exceptions += self._ask_about_used(session, taken_back.transfer_id, invoice)
        for (payment, _), allocation in zip(standing, after, strict=True):
            store.write(session, allocation, invoice.currency.code, now)
            transfer = chain.by_id(session, payment.transfer_id)
            grant = credit.Grant(
                invoice.tenant_id,
                "overpayment",
                invoice.currency.code,
                allocation.credited,
                transfer.tx_hash,
                transfer.state is ChainState.FINAL,
            )
            credit.set_credit(session, transfer.id, grant, now)
        self._settle_status(session, invoice, done)

    def reallocate(self, session: Session, invoice_id: int) -> None:
        """What is asked for on an invoice changed: allocate its payments anew. The caller holds the invoice's lock."""
        self._reallocate(session, invoicing.by_id(session, invoice_id), Settled())

    def _ask_about_used(self, session: Session, transfer_id: int, invoice: Invoice) -> int:
        """Only final credit is used; so it takes a person who rewinds a chain to take a transfer back whose credit was."""
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
        return int(store.keep_asking(session, question, self._clock.now()))

    def _settle_status(self, session: Session, invoice: Invoice, done: Settled) -> None:
        now, remaining = self._clock.now(), ledger.remaining(session, [invoice.id]).get(invoice.id, 0)
        if remaining <= 0 and invoice.status in (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE):
            invoicing.move(session, invoice.id, InvoiceEvent.SETTLE, now)
            notices.tell(session, told.changed(NoticeType.INVOICE_PAID, invoice), now)
            done.invoices_paid += 1
        elif remaining > 0 and invoice.status is InvoiceStatus.PAID:
            invoicing.move(session, invoice.id, InvoiceEvent.REOPEN, now)
            notices.tell(session, told.changed(NoticeType.INVOICE_REOPENED, invoice), now)
            done.invoices_reopened += 1

    def _rate(self, session: Session, transfer: Transfer, invoice: Invoice) -> Rate | NoRate:
        """What one token is worth, by the rule of the invoice's document at the transfer's block, or as it was promised."""
        rule = self._accepted(session, invoice.id)[transfer.chain_id, transfer.token].rule
        feed = feed_of(rule)
        if feed is None:
            return Rate(PAR, "par", transfer.mined_at)
        quoted = [one.rate for one in quotes.live(session, transfer.chain_id, feed, transfer.mined_at)]
        return best(rule, self._found[_key(transfer)], quoted)

    def _accepted(self, session: Session, invoice_id: int) -> dict[tuple[int, str], Settlement]:
        """{(chain id, token address): terms} that the invoice's document accepts, for ever."""
        parsed = documents.parse(invoicing.document(session, invoice_id))
        assert isinstance(parsed, InvoiceDocument)
        return {(one.chain_id, one.token_address): one for one in parsed.settlement}

    def _ask(
        self,
        session: Session,
        transfer: Transfer,
        token: Token,
        problem: tuple[MatchKind, str],
        invoice: Invoice | None,
    ) -> None:
        kind, why = problem
        what = {
            MatchKind.WRONG_TOKEN: "a token that the invoice does not accept",
            MatchKind.AFTER_VOID: "a void invoice",
            MatchKind.UNISSUED: "an address whose invoice was never issued",
            MatchKind.NO_RATE: f"an invoice, but nobody knows what it is worth: {why}",
        }[kind]
        question = store.Question(
            kind=kind,
            subject=f"transfer {transfer.id}/{transfer.incarnation}",
            detail=f"{decimal_text(transfer.units, token.decimals)} {token.symbol} came in for {what}",
            suggestion=_suggestion(kind, invoice),
            transfer_id=transfer.id,
            invoice_id=invoice.id if invoice else None,
            tenant_id=invoice.tenant_id if invoice else None,
        )
        store.ask(session, question, self._clock.now())


def _incoming(one: Incoming, terms: Settlement) -> Incoming:
    return replace(one, decimals=terms.decimals, has_par=not isinstance(terms.rule, ByFeed))


def _key(transfer: Transfer) -> Incarnation:
    return transfer.id, transfer.incarnation, transfer.block_hash


def _suggestion(kind: MatchKind, invoice: Invoice | None) -> str:
    if invoice is None:
        return "find out who paid, then credit or refund"
    return f"credit {invoice.tenant}" + (" at a --rate that you can prove" if kind is MatchKind.NO_RATE else "")


def _role(address: PaymentAddress | None) -> Role:
    if address is None:
        return Role.OUTSIDE
    return Role.TREASURY if address.kind == "treasury" else Role.PAYMENT

"""Issues and voids invoices. A document is in the archive before its transaction commits, and numbers have no gap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid, Unavailable
from billing.core.onchain import Address
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.invoicing import compose, cycle, postings, store, told
from billing.invoicing import document as documents
from billing.invoicing.archive import Archive, Prepared
from billing.invoicing.compose import Header, nonce, pay_token
from billing.invoicing.document import ForwarderTerms, Party, RateRule, Replaced, Settlement, XpubTerms
from billing.invoicing.draft import Draft
from billing.invoicing.drafter import Drafter
from billing.invoicing.guard import Guard
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceEvent
from billing.invoicing.numbering import credit_note_series, number_text
from billing.invoicing.store import credit
from billing.invoicing.store import periods as invoiced
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.notices.notice import NoticeType
from billing.pricing import store as pricing
from billing.trail.store import Deed, record
from billing.wallets import store as wallets
from billing.wallets.hd import AccountKey
from billing.wallets.store import PaymentAddress
from billing.wallets.wallet import ForwarderWallet, Wallet

BATCH: Final = 100
"""Invoices in one transaction, and behind one fsync."""
REASON_MAX: Final = 200
"""What a credit note's document has room for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A token that invoices of a currency may be paid in, by a rule."""

    chain_id: int
    token: str
    token_address: str
    decimals: int
    currency: str
    rule: RateRule


@dataclass(frozen=True, slots=True)
class House:
    """Who issues, into which wallet, payable in what. `account` derives addresses in xpub mode; pages are under
    `public_url`."""

    issuer: Party
    series: str
    wallet: Wallet | None
    account: AccountKey | None
    offers: tuple[Offer, ...]
    public_url: str = ""


class Issuer:
    def __init__(
        self, database: Database, clock: Clock, drafter: Drafter, archive: Archive, house: House,
        fence: Callable[[Session], None],
    ) -> None:  # fmt: skip
        """`fence` is called in every transaction and raises when this process may not issue any more."""
        self._database, self._clock, self._drafter = database, clock, drafter
        self._archive, self._house, self._fence = archive, house, fence
        self._guard = Guard(archive)

    def tick(self) -> int:
        """Invoice the periods that are over and past their grace. Returns how many invoices were issued.

        A payer whose invoice was voided is left to a person: `invoice issue` replaces it.
        """
        now = self._clock.now()
        with self._database.transaction() as session:
            self._guard.check(session, now)
            first = self._drafter.first_use(session)
            periods = cycle.closed_periods(first, now) if first is not None else []
            due = [p for p in periods if self._wanting(session, p, newest=p == periods[-1])]
        return sum(len(self.run(period)) for period in due)

    def _wanting(self, session: Session, period: Span, *, newest: bool) -> bool:
        """Does anybody lack an invoice for the period? The newest one may also bring nothing but adjustments."""
        payers = self._drafter.used_payers(session, period)
        if newest:
            payers = payers.union(*invoiced.adjustable(session, period).values())
        return bool(payers - store.payers_with_invoice(session, period).keys())

    def run(self, period: Span, payer: str = "", *, actor: str = "daemon") -> list[Invoice]:
        """Issue the invoices of a period: everybody's that has none yet, or one payer's (then also after a void).

        Raises Conflict while the period or its readings are not complete, or something used has no price.
        """
        cycle.require_over(period, self._clock.now())
        with self._database.transaction() as session:
            payers = self._drafter.payers(session, period, payer)
        batches = [payers[start : start + BATCH] for start in range(0, len(payers), BATCH)]
        return [one for batch in batches for one in self._issue_batch(period, payer, batch, actor)]

    def _issue_batch(self, period: Span, payer: str, among: Sequence[str], actor: str) -> list[Invoice]:
        now = self._clock.now().replace(microsecond=0)
        with self._database.transaction() as session:
            self._fence(session)
            self._guard.check(session, now)
            self._drafter.require_complete(session, period, self._clock.now())
            drafted = self._drafter.draft(session, period, among=among).drafts
            known = store.payers_with_invoice(session, period, [draft.payer.id for draft in drafted])
            prepared, ids = [], []
            for draft in (d for d in drafted if payer or d.payer.id not in known):
                one, invoice_id = self._write(session, draft, now, actor)
                prepared.append(one)
                ids.append(invoice_id)
            if prepared:
                self._archive.prepare(prepared, now)
        self._archive.issued([one.digest for one in prepared], now)
        with self._database.transaction() as session:
            return store.listed(session, store.Filter(ids=ids))

    def _write(self, session: Session, draft: Draft, now: datetime, actor: str) -> tuple[Prepared, int]:
        """Everything that one invoice is in the database. Its document is archived by the caller, before the commit."""
        if draft.total.units < 0:
            raise Conflict(
                f"the invoice of {draft.payer.slug} would be negative", remedy="wait for usage that outweighs it"
            )
        due = draft.amount_due.units > 0
        generation = self._generation(session, now) if due else None
        index = self._next_index(session, generation)
        number = number_text(self._house.series, store.next_counter(session, self._house.series))
        replaced = store.last_void(session, draft.payer.id, draft.period)
        header = Header(
            issuer=self._house.issuer,
            number=number,
            nonce=nonce(),
            issued_at=now,
            replaces=Replaced(number=replaced[1], digest=replaced[2]) if replaced else None,
            wallet=self._terms(index) if due else None,
            settlement=self._settlement(session, generation, draft.currency.code) if due else [],
        )
        document = compose.invoice(draft, header)
        content = documents.canonical(document)
        digest = documents.digest(content)
        token = pay_token()
        replaces_id = replaced[0] if replaced else None
        issued = store.Issued(draft, document, content, digest, self._house.series, replaces_id, token)
        invoice_id = store.add(session, issued)
        charged = ((at, line.rated, line.evidence.usage_digest) for at, line in enumerate(draft.lines, 1))
        pricing.charge_all(session, invoice_id, charged, draft.currency.code)
        credit.use(session, draft.credits, invoice_id, now)
        for entry in postings.issue(draft, invoice_id, number, now):
            ledger.post(session, entry)
        if generation is not None:
            wallet = generation.wallet
            address = wallet.address_of(digest) if isinstance(wallet, ForwarderWallet) else self._hd_address(index)
            salt = digest if isinstance(wallet, ForwarderWallet) else ""
            wallets.add_address(
                session, PaymentAddress(address, "invoice", generation.id, invoice_id, salt, index), now
            )
        record(session, Deed(now, actor, "invoice.issue", f"invoice {number}", details={"digest": digest}))
        pay_url = f"{self._house.public_url}/pay/{token}"
        notices.tell(session, told.issued(document, digest, draft.payer.id, pay_url), now)
        return Prepared(content, digest, number, index, token), invoice_id

    def void(self, number: str, *, reason: str, actor: str) -> str:
        """Take an open invoice back with a cancelling credit note, whose number is returned. Its usage may be invoiced
        again. Raises Invalid without a reason, Conflict when it is not open, or money was paid on it."""
        if not 0 < len(reason.strip()) <= REASON_MAX or not reason.isprintable():
            raise Invalid(
                f"voiding {number} needs a reason of at most {REASON_MAX} printable characters", remedy="--reason '...'"
            )
        now = self._clock.now().replace(microsecond=0)
        with self._database.transaction() as session:
            self._guard.check(session, now)
            invoice_id = store.by_number(session, number).id
            store.lock(session, invoice_id)  # whoever is about to book a payment on it waits, or was faster
            invoice = store.by_id(session, invoice_id)
            store.move(session, invoice.id, InvoiceEvent.VOID, now)
            if invoice.paid:
                raise Conflict(f"{number} has payments on it", remedy="it cannot be voided; wait for credit notes")
            series = credit_note_series(self._house.series)
            note = number_text(series, store.next_counter(session, series))
            header = Header(self._house.issuer, note, nonce(), now, None, None, [])
            document = compose.credit_note(invoice, header, reason)
            content = documents.canonical(document)
            digest = documents.digest(content)
            store.add_credit_note(session, document, content, digest, invoice)
            pricing.cancel(session, invoice.id)
            credit.give_back(session, invoice.id, now)
            ledger.reverse(session, ledger.of_invoice(session, invoice.id), now)
            record(session, Deed(now, actor, "invoice.void", f"invoice {number}", reason, {"credit_note": note}))
            notices.tell(session, told.changed(NoticeType.INVOICE_VOIDED, invoice), now)
            notices.tell(session, told.credit_note(document, digest, invoice), now)
            self._archive.prepare([Prepared(content, digest, note)], now)
        self._archive.issued([digest], now)
        return note

    def _generation(self, session: Session, now: datetime) -> wallets.Generation:
        if self._house.wallet is None:
            raise Conflict(
                "no wallet is configured, so nothing can be invoiced", remedy="set wallet.treasury or wallet.xpub"
            )
        return wallets.generation(session, self._house.wallet, now)

    def _next_index(self, session: Session, generation: wallets.Generation | None) -> int | None:
        """A fresh HD index in xpub mode. One whose address is known is passed over: a restore may have found the address
        without its index."""
        if generation is None or self._house.account is None:
            return None
        while True:
            index = wallets.next_index(session, generation.id)
            if wallets.known(session, self._house.account.address(index)) is None:
                return index

    def _terms(self, index: int | None) -> ForwarderTerms | XpubTerms:
        wallet = self._house.wallet
        if isinstance(wallet, ForwarderWallet):
            return ForwarderTerms(
                mode="forwarder",
                factory=wallet.factory,
                implementation=wallet.implementation,
                treasury=wallet.treasury,
                treasury_kind=wallet.treasury_kind.value,
                flusher=wallet.flusher,
            )
        return XpubTerms(mode="xpub", address=self._hd_address(index))

    def _hd_address(self, index: int | None) -> Address:
        assert self._house.account is not None and index is not None
        return self._house.account.address(index)

    def _settlement(self, session: Session, generation: wallets.Generation | None, currency: str) -> list[Settlement]:
        """Where the invoice may be paid: chains on which the wallet was verified. Raises Unavailable when there is none."""
        assert generation is not None
        accepted = wallets.accepted_chains(session, generation.id)
        offers = [o for o in self._house.offers if o.currency == currency and o.chain_id in accepted]
        if not offers:
            raise Unavailable(
                f"no chain accepts {currency} for this wallet yet",
                remedy="stablemeter doctor says what is missing (factory deployed? treasury? chain reachable?)",
            )
        return [
            Settlement(
                chain_id=o.chain_id, token=o.token, token_address=o.token_address, decimals=o.decimals, rule=o.rule
            )
            for o in offers
        ]

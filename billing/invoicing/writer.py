"""Writes a batch of invoices: everything that they are in the database, as whole statements, not invoice by invoice."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.core.errors import Conflict
from billing.db.engine import Session
from billing.invoicing import compose, postings, store, told
from billing.invoicing import document as documents
from billing.invoicing.addressing import Addressing, Offer
from billing.invoicing.archive import Prepared
from billing.invoicing.compose import Header, nonce, pay_token
from billing.invoicing.document import Party, Replaced
from billing.invoicing.draft import Draft
from billing.invoicing.numbering import number_text
from billing.invoicing.store import Issued, Voided, credit
from billing.invoicing.tax import TaxOffice
from billing.ledger import store as ledger
from billing.notices import store as notices
from billing.pricing import store as pricing
from billing.pricing.store import Charge
from billing.trail.store import Deed, record_all
from billing.wallets import store as wallets
from billing.wallets.hd import AccountKey
from billing.wallets.store import Generation, PaymentAddress
from billing.wallets.wallet import Wallet


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
    tax_office: TaxOffice | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """An invoice that is about to be stored. `index` is its address's in xpub mode."""

    issued: Issued
    index: int | None

    @property
    def is_payable(self) -> bool:
        return self.issued.draft.amount_due.units > 0

    @property
    def prepared(self) -> Prepared:
        one = self.issued
        return Prepared(one.content, one.digest, one.document.number, self.index, one.pay_token)


class Writer:
    def __init__(self, house: House) -> None:
        self._house = house
        self._addressing = Addressing(house.wallet, house.account, house.offers)

    def write(
        self, session: Session, drafts: Sequence[Draft], now: datetime, actor: str
    ) -> tuple[list[Prepared], list[int]]:
        """Store drafts as invoices. Returns their documents, which the caller archives before the commit, and their ids.

        Raises Conflict for one that would be negative, Unavailable when nothing can be paid with yet.
        """
        for draft in drafts:
            if draft.total.units < 0:
                raise Conflict(
                    f"the invoice of {draft.payer.slug} would be negative", remedy="wait for usage that outweighs it"
                )
        if not drafts:
            return [], []
        due = {draft.currency.code for draft in drafts if draft.amount_due.units > 0}
        generation = self._addressing.generation(session, now) if due else None
        settlements = {code: self._addressing.settlement(session, generation, code) for code in due if generation}
        voids = store.last_voids(session, {(draft.payer.id, draft.period) for draft in drafts})
        counters = store.next_counters(session, self._house.series, len(drafts))
        written = []
        for counter, draft in zip(counters, drafts, strict=True):
            payable = draft.amount_due.units > 0
            index = self._addressing.next_index(session, generation if payable else None)
            void = voids.get((draft.payer.id, draft.period))
            header = Header(
                issuer=self._house.issuer,
                number=number_text(self._house.series, counter),
                nonce=nonce(),
                issued_at=now,
                replaces=Replaced(number=void.number, digest=void.digest) if void else None,
                wallet=self._addressing.terms(index) if payable else None,
                settlement=settlements[draft.currency.code] if payable else [],
                tax_office=self._house.tax_office,
            )
            written.append(self._composed(draft, header, index, void))
        ids = self._save(session, written, now, actor)
        if generation is not None:
            self._give_addresses(session, generation, zip(ids, written, strict=True), now)
        return [one.prepared for one in written], ids

    def _composed(self, draft: Draft, header: Header, index: int | None, void: Voided | None) -> Written:
        document = compose.invoice(draft, header)
        content = documents.canonical(document)
        digest = documents.digest(content)
        return Written(
            Issued(draft, document, content, digest, self._house.series, void.id if void else None, pay_token()), index
        )

    def _save(self, session: Session, written: Sequence[Written], now: datetime, actor: str) -> list[int]:
        """Rows, charges, used credit, entries, audit trail and notices. Returns the invoices' ids."""
        issued = [one.issued for one in written]
        ids = store.add_all(session, issued)
        entries, deeds, tell = [], [], []
        for invoice_id, one in zip(ids, issued, strict=True):
            number = one.document.number
            credit.use(session, one.draft.credits, invoice_id, now)
            entries += postings.issue(one.draft, invoice_id, number, now)
            deeds.append(Deed(now, actor, "invoice.issue", f"invoice {number}", details={"digest": one.digest}))
            pay_url = f"{self._house.public_url}/pay/{one.pay_token}"
            tell.append(told.issued(one.document, one.digest, one.draft.payer.id, pay_url))
        pricing.charge_all(session, charges(issued, ids))
        ledger.post_all(session, entries)
        record_all(session, deeds)
        notices.tell_all(session, tell, now)
        return ids

    def _give_addresses(
        self, session: Session, generation: Generation, written: Iterable[tuple[int, Written]], now: datetime
    ) -> None:
        given = []
        for invoice_id, one in written:
            if one.is_payable:
                address, salt = self._addressing.salted(one.issued.digest, one.index)
                given.append(PaymentAddress(address, "invoice", generation.id, invoice_id, salt, one.index))
        wallets.add_addresses(session, given, now)


def charges(issued: Sequence[Issued], ids: Sequence[int]) -> Iterator[Charge]:
    """What the lines of stored invoices freeze."""
    for invoice_id, one in zip(ids, issued, strict=True):
        for position, line in enumerate(one.draft.lines, 1):
            yield Charge(invoice_id, position, line.rated, line.evidence.usage_digest, one.draft.currency.code)

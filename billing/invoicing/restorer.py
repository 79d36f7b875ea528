"""Brings back what the archive knows and the database has forgotten, before anything is issued again.

A database restored from an older backup has lost the invoices issued since. Their documents are in the archive: each
becomes an open invoice again, its address is watched again, its usage counts as charged, and number series and HD
indexes move above it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from billing.core.clock import Clock
from billing.core.errors import Conflict
from billing.core.money import parse_units
from billing.core.onchain import Address, Hash32
from billing.core.period import Span, parse_time
from billing.db.engine import Database, Session
from billing.invoicing import document as documents
from billing.invoicing import postings, store
from billing.invoicing.archive import Archive, Archived
from billing.invoicing.document import CreditNoteDocument, ForwarderTerms, InvoiceDocument, Line, MeterLine
from billing.invoicing.draft import Credit, Draft, DraftLine
from billing.invoicing.lifecycle import InvoiceEvent
from billing.invoicing.numbering import counter_of
from billing.invoicing.store.credit import credit_held, give_back, use
from billing.invoicing.verify import address_of, wallet_of
from billing.ledger import store as ledger
from billing.pricing import store as pricing
from billing.pricing.rating import LineEvidence, LineKey, Metered, RatedLine, Share
from billing.tenants import store as tenants
from billing.tenants.tenant import Attribution, Tenant
from billing.trail.store import Deed, record
from billing.wallets import store as wallets
from billing.wallets.store import PaymentAddress
from billing.wallets.wallet import Wallet


@dataclass(slots=True)
class Restored:
    """What was brought back, by number; and the documents that were never issued, whose addresses are watched anyway."""

    invoices: list[str] = field(default_factory=list)
    credit_notes: list[str] = field(default_factory=list)
    unissued: list[str] = field(default_factory=list)
    oldest: datetime | None = None
    """When the oldest of them was issued: chains must be read again from then on."""


def forgotten(archive: Archive, known: set[Hash32]) -> list[Archived]:
    """The archived documents that must have been issued and that the database does not have.

    A document that was never confirmed counts when nobody else got its number: the crash may have come after the commit.
    """
    archived = archive.read()
    numbers = {documents.parse(one.content).number for one in archived if one.digest in known or one.issued}
    missing = [one for one in archived if one.digest not in known]
    newest = {documents.parse(one.content).number: one.digest for one in missing if not one.issued}
    return [
        one
        for one in missing
        if one.issued or (newest[number := documents.parse(one.content).number] == one.digest and number not in numbers)
    ]


def require_restored(archive: Archive, known: set[Hash32]) -> None:
    """Raises Conflict when the archive holds issued documents that the database has forgotten."""
    missing = [one for one in forgotten(archive, known) if one.issued]
    if missing:
        number = documents.parse(missing[0].content).number
        raise Conflict(
            f"the archive holds {len(missing)} documents that the database does not know, {number} first",
            remedy="was an older backup restored? run: stablemeter restore",
        )


class Restorer:
    def __init__(self, database: Database, clock: Clock, archive: Archive, wallet: Wallet | None) -> None:
        """`wallet` is the configured one: in xpub mode a document does not say which account its address is from."""
        self._database, self._clock, self._archive, self._wallet = database, clock, archive, wallet

    def restore(self, *, actor: str) -> Restored:
        """Import everything that is missing, in one transaction."""
        now, result = self._clock.now().replace(microsecond=0), Restored()
        with self._database.transaction() as session:
            known = store.digests(session)
            due = forgotten(self._archive, known)
            due_digests = {one.digest for one in due}
            for one in self._archive.read():
                if one.digest in known:
                    continue
                parsed = documents.parse(one.content)
                issued_at = parse_time(parsed.issued_at)
                result.oldest = min(issued_at, result.oldest or issued_at)
                if one.digest not in due_digests:
                    self._watch(session, one, parsed, now)
                    result.unissued.append(parsed.number)
                elif isinstance(parsed, InvoiceDocument):
                    self._invoice(session, one, parsed, now)
                    result.invoices.append(parsed.number)
                else:
                    self._credit_note(session, one, parsed, now)
                    result.credit_notes.append(parsed.number)
                series, counter = counter_of(parsed.number)
                store.raise_counter(session, series, counter)
            if due:
                details = {"invoices": result.invoices, "credit_notes": result.credit_notes}
                record(session, Deed(now, actor, "restore", "archive", details=details))
        self._archive.issued([one.digest for one in due if not one.issued], now)
        return result

    def _watch(self, session: Session, one: Archived, parsed: object, now: datetime) -> None:
        """An address that was prepared and never shown: nobody should pay it, yet it could always be emptied."""
        if isinstance(parsed, InvoiceDocument):
            self._address(session, one, parsed, None, now)

    def _address(
        self, session: Session, one: Archived, parsed: InvoiceDocument, invoice_id: int | None, now: datetime
    ) -> None:
        address = address_of(parsed, one.digest)
        if address is None or wallets.known(session, address) is not None:
            return
        if isinstance(parsed.wallet, ForwarderTerms):
            generation, salt = wallets.generation(session, wallet_of(parsed.wallet), now), str(one.digest)
        else:
            if self._wallet is None:
                raise Conflict("the archive holds xpub invoices and no wallet is configured", remedy="set wallet.xpub")
            generation, salt = wallets.generation(session, self._wallet, now), ""
            if one.index is not None:
                wallets.raise_index(session, generation.id, one.index)
        kind = "invoice" if invoice_id is not None else "unissued"
        found = PaymentAddress(Address(address), kind, generation.id, invoice_id, salt, one.index)
        wallets.add_address(session, found, now)

    def _invoice(self, session: Session, one: Archived, parsed: InvoiceDocument, now: datetime) -> None:
        everybody = {tenant.slug: tenant for tenant in tenants.listed(session)}
        for slug, name in [
            (parsed.tenant.id, parsed.tenant.name),
            *((line.tenant, line.tenant) for line in parsed.lines),
        ]:
            if slug not in everybody:
                everybody[slug] = tenants.add(
                    session, Tenant(slug=slug, name=name, attribution=Attribution.OBSERVED), now
                )
        draft = self._draft(session, parsed, everybody)
        replaced = store.listed(session, store.Filter(number=parsed.replaces.number)) if parsed.replaces else []
        series, _ = counter_of(parsed.number)
        issued = store.Issued(draft, parsed, one.content, one.digest, series, replaced[0].id if replaced else None)
        invoice_id = store.add(session, issued)
        for position, line in enumerate(draft.lines, 1):
            pricing.charge(session, invoice_id, position, line.rated, draft.currency.code, line.evidence.usage_digest)
        use(session, draft.credits, invoice_id, now)
        for entry in postings.issue(draft, invoice_id, parsed.number, parse_time(parsed.issued_at)):
            ledger.post(session, entry)
        self._address(session, one, parsed, invoice_id, now)

    def _draft(self, session: Session, parsed: InvoiceDocument, everybody: Mapping[str, Tenant]) -> Draft:
        """The draft that the document was made from, as far as the document tells."""
        currency, payer = parsed.currency.asset, everybody[parsed.tenant.id]
        held = {(c.kind, c.reference): c for c in credit_held(session, payer.id, currency.code)}
        used = []
        for one in parsed.credits:
            units = parse_units(one.amount, currency).units
            credit = held.get((one.kind, one.reference))
            if credit is None or credit.units < units:
                raise Conflict(
                    f"{parsed.number} used credit {one.reference} that the database does not know yet",
                    remedy="run: stablemeter chain sync, then: stablemeter reconcile, then restore again",
                )
            used.append(Credit(credit.id, one.kind, one.reference, units))
        period = Span(parse_time(parsed.period.start), parse_time(parsed.period.end))
        lines = tuple(_line(line, everybody[line.tenant], parsed) for line in parsed.lines)
        return Draft(payer, period, currency, lines, tuple(used))

    def _credit_note(self, session: Session, one: Archived, parsed: CreditNoteDocument, now: datetime) -> None:
        invoice = store.by_number(session, parsed.invoice.number)
        store.move(session, invoice.id, InvoiceEvent.VOID, now)
        store.add_credit_note(session, parsed, one.content, one.digest, invoice)
        pricing.cancel(session, invoice.id)
        give_back(session, invoice.id, now)
        ledger.reverse(session, ledger.of_invoice(session, invoice.id), now)


def _line(line: Line | MeterLine, consumer: Tenant, parsed: InvoiceDocument) -> DraftLine:
    span = Span(parse_time(line.period.start), parse_time(line.period.end))
    price = Decimal(line.unit_price)
    amount = parse_units(line.amount, parsed.currency.asset).units
    if isinstance(line, MeterLine):
        quantity = Decimal(line.quantity)
        metered = Metered(line.meter, line.aggregation, line.unit, line.unit_size, quantity, line.events)
        key = LineKey.of(consumer.id, line.sku, span, price)
        rated = RatedLine(key, span, 0, amount, [Share(None, 0, amount)], metered)
        return DraftLine(rated, LineEvidence(line.usage_digest, 0, []), consumer, line.description)
    rated = RatedLine(
        LineKey.of(consumer.id, line.sku, span, price),
        span,
        line.quantity_seconds,
        amount,
        [Share(None, line.quantity_seconds, amount)],
    )
    measured = int(Decimal(line.coverage) * line.quantity_seconds)
    excluded = [(one.reason, one.seconds) for one in line.excluded]
    return DraftLine(rated, LineEvidence(line.usage_digest, measured, excluded), consumer, line.description)

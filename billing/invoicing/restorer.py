"""Brings back what the archive knows and the database has forgotten, before anything is issued again.

A database restored from an older backup has lost the invoices issued since. Their documents are in the archive: each
becomes an open invoice again, its address is watched again, its usage counts as charged, and number series and HD
indexes move above it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from billing.core.clock import Clock
from billing.core.errors import Conflict
from billing.core.money import parse_rate, parse_units
from billing.core.onchain import Address, Hash32
from billing.core.period import Span, parse_time
from billing.db.engine import Database, Session
from billing.invoicing import postings, store
from billing.invoicing.archive import Archive, Archived
from billing.invoicing.compose import pay_token
from billing.invoicing.document import (
    AgreedLine,
    AnyDocument,
    CreditNoteDocument,
    DepositDocument,
    ForwarderTerms,
    InvoiceDocument,
    Line,
    MeterLine,
    MeterPackageLine,
    PackageLine,
    Tax,
)
from billing.invoicing.draft import Credit, Draft, DraftLine
from billing.invoicing.invoice import Invoice
from billing.invoicing.issuer import invoice_document
from billing.invoicing.lifecycle import INVOICE, InvoiceEvent, InvoiceStatus
from billing.invoicing.noter import CREDITABLE, Settle, book, creditable
from billing.invoicing.numbering import counter_of
from billing.invoicing.recovery import Missing, plan
from billing.invoicing.store import deposits, notes
from billing.invoicing.store.credit import Grant, credit_held, give_back, lack, use
from billing.invoicing.tax import TaxAmount
from billing.invoicing.verify import address_of, wallet_of
from billing.invoicing.writer import charges
from billing.ledger import store as ledger
from billing.pricing import store as pricing
from billing.pricing.rating import NO_EVIDENCE, LineEvidence, LineKey, LineKind, Metered, RatedLine, Share
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY
from billing.tenants.tenant import Attribution, Tenant
from billing.trail.store import Deed, record
from billing.wallets import store as wallets
from billing.wallets.store import PaymentAddress
from billing.wallets.wallet import Wallet


@dataclass(slots=True)
class Restored:
    """What was brought back, by number; the documents that were never issued, whose addresses are watched from now on; and
    what is left to a person, a sentence each."""

    invoices: list[str] = field(default_factory=list)
    credit_notes: list[str] = field(default_factory=list)
    deposits: list[str] = field(default_factory=list)
    unissued: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def forgotten(archive: Archive, known: set[Hash32]) -> list[Archived]:
    """The archived documents that the database does not have and that were issued, or perhaps were: a document that was
    never confirmed counts when nobody else got its number, because the crash may have come after the commit."""
    found = plan(archive.read(), known)
    return [one.archived for one in (*found.issued, *found.perhaps)]


class Restorer:
    def __init__(
        self, database: Database, clock: Clock, archive: Archive, wallet: Wallet | None,
        read_again: Callable[[Session, datetime], None], settle: Settle,
    ) -> None:  # fmt: skip
        """`wallet` is the configured one: in xpub mode a document does not say which account its address is from.
        `read_again` asks, in the same transaction, that chains are read again from a time on: nobody watched. `settle` allocates
        an invoice's payments anew after a credit note."""
        self._database, self._clock, self._archive, self._wallet = database, clock, archive, wallet
        self._read_again, self._settle = read_again, settle

    def restore(self, *, actor: str) -> Restored:
        """Import everything that is missing, in one transaction."""
        now, result = self._clock.now().replace(microsecond=0), Restored()
        with self._database.transaction() as session:
            store.hold_series(session)
            archived = self._archive.read()
            known = store.digests(session)
            found = plan(archived, known)
            back: list[Missing] = []
            left = self._lost(session, archived, result)
            for one in found.issued:
                if self._bring_back(session, one, result, now):
                    back.append(one)
                else:
                    left.append(one.archived.digest)
            back += [one for one in found.perhaps if self._perhaps(session, one, result, now)]
            back += [one for one in (*found.perhaps, *found.dead) if self._watch(session, one, result, now)]
            if back:
                self._read_again(session, min(parse_time(one.document.issued_at) for one in back))
            if back or left:
                details = {
                    name: getattr(result, name) for name in ("invoices", "credit_notes", "deposits", "unissued", "left")
                }
                record(session, Deed(now, actor, "restore", "archive", details=details))
            standing = store.digests(session)
        marked = {one.digest for one in archived if one.issued} & known
        self._archive.issued([one.digest for one in archived if one.digest in standing - marked], now)
        self._archive.left(left, now)
        return result

    def _lost(self, session: Session, archived: Sequence[Archived], result: Restored) -> list[Hash32]:
        """What was issued and is nowhere: its number is not given again, and a person is told. Returns the digests."""
        lost = self._archive.lost(archived)
        known = store.known(session, list(lost))
        for number in sorted(lost[digest] for digest in lost if digest not in known):
            result.left.append(
                f"{number or 'a document'} was issued, and no directory of the archive has it: put the directory back that"
                " has, and restore again"
            )
            if number:
                series, counter = counter_of(number)
                store.raise_counter(session, series, counter)
        return [digest for digest in lost if digest not in known]

    def _bring_back(self, session: Session, one: Missing, result: Restored, now: datetime) -> bool:
        """What was issued stands again. False when that is left to a person; its number is not given again either way."""
        number, document, why = one.archived.number, one.document, ""
        if isinstance(document, InvoiceDocument):
            self._invoice(session, one.archived, document, now)
            result.invoices.append(number)
        elif isinstance(document, DepositDocument):
            self._deposit(session, one.archived, document, now)
            result.deposits.append(number)
        elif why := self._credit_note(session, one.archived, document, now):
            result.left.append(f"credit note {number} took {_what(document)} and was not brought back: {why}")
        else:
            result.credit_notes.append(number)
        series, counter = counter_of(number)
        store.raise_counter(session, series, counter)
        return not why

    def _perhaps(self, session: Session, one: Missing, result: Restored, now: datetime) -> bool:
        """Bring an invoice back that may have been issued. It was not when its number is not the next one (numbers have no
        gap), or its payer has another one. A credit note would take an invoice back: that is a person's decision."""
        number, document = one.archived.number, one.document
        if isinstance(document, CreditNoteDocument):
            again = "void" if document.is_whole else "credit"
            result.left.append(
                f"credit note {number}, prepared to take {_what(document)}, was perhaps never issued:"
                f" {again} {document.invoice.number} again if the payer has it"
            )
            return False
        series, counter = counter_of(number)
        payers = {tenant.slug: tenant.id for tenant in tenants.listed(session)}
        if isinstance(document, DepositDocument):
            live = deposits.live(session, payers.get(document.tenant.id, 0), document.currency.code)
            follows = (live.digest if live else None) == (document.replaces.digest if document.replaces else None)
            return (
                follows
                and counter == store.coming_counter(session, series)
                and self._bring_back(session, one, result, now)
            )
        period = Span(parse_time(document.period.start), parse_time(document.period.end))
        served = store.payers_with_invoice(session, period).get(payers.get(document.tenant.id, 0), False)
        if served or counter != store.coming_counter(session, series):
            return False
        return self._bring_back(session, one, result, now)

    def _watch(self, session: Session, one: Missing, result: Restored, now: datetime) -> bool:
        """An address that was prepared and never shown: nobody should pay it, yet it could always be emptied. False when it
        is watched already."""
        document = one.document
        if isinstance(document, CreditNoteDocument) or not self._address(session, one.archived, document, None, now):
            return False
        result.unissued.append(one.archived.number)
        return True

    def _deposit(self, session: Session, one: Archived, parsed: DepositDocument, now: datetime) -> None:
        """A tenant's deposit address is its own again; what came to it is found when its chains are read again."""
        tenant = _known(session, [(parsed.tenant.id, parsed.tenant.name)], now)[parsed.tenant.id]
        replaces_id = deposits.id_of(session, parsed.replaces.digest) if parsed.replaces else None
        series, _ = counter_of(parsed.number)
        deposits.add(session, deposits.Given(tenant.id, parsed, one.content, one.digest, series, replaces_id))
        self._address(session, one, parsed, None, now)

    def _address(
        self,
        session: Session,
        one: Archived,
        parsed: InvoiceDocument | DepositDocument,
        invoice_id: int | None,
        now: datetime,
    ) -> bool:
        """Watch a document's address. False when it has none, or it is watched already."""
        address = address_of(parsed, one.digest)
        if address is None:
            return False
        if isinstance(parsed.wallet, ForwarderTerms):
            generation, salt = wallets.generation(session, wallet_of(parsed.wallet), now), str(one.digest)
        else:
            if self._wallet is None:
                raise Conflict("the archive holds xpub documents and no wallet is configured", remedy="set wallet.xpub")
            generation, salt = wallets.generation(session, self._wallet, now), ""
            if one.index is not None:
                wallets.raise_index(session, generation.id, one.index)
        if wallets.known(session, address) is not None:
            return False
        deposit_id = deposits.id_of(session, one.digest)
        kind = "invoice" if invoice_id is not None else "deposit" if deposit_id is not None else "unissued"
        found = PaymentAddress(Address(address), kind, generation.id, invoice_id, salt, one.index, deposit_id)
        wallets.add_address(session, found, now)
        return True

    def _invoice(self, session: Session, one: Archived, parsed: InvoiceDocument, now: datetime) -> None:
        named = [(parsed.tenant.id, parsed.tenant.name), *((line.tenant, line.tenant) for line in parsed.lines)]
        everybody = _known(session, named, now)
        draft = self._draft(session, parsed, everybody, now)
        replaced = store.listed(session, store.Filter(number=parsed.replaces.number)) if parsed.replaces else []
        series, _ = counter_of(parsed.number)
        replaces_id = replaced[0].id if replaced else None
        token = one.pay_token or pay_token()
        issued = store.Issued(draft, parsed, one.content, one.digest, series, replaces_id, token)
        invoice_id = store.add(session, issued)
        pricing.charge_all(session, charges([issued], [invoice_id]))
        use(session, draft.credits, invoice_id, now)
        for entry in postings.issue(draft, invoice_id, parsed.number, parse_time(parsed.issued_at)):
            ledger.post(session, entry)
        self._address(session, one, parsed, invoice_id, now)

    def _draft(
        self, session: Session, parsed: InvoiceDocument, everybody: Mapping[str, Tenant], now: datetime
    ) -> Draft:
        """The draft that the document was made from, as far as the document tells."""
        payer = everybody[parsed.tenant.id]
        period = Span(parse_time(parsed.period.start), parse_time(parsed.period.end))
        lines = tuple(_line(line, everybody[line.tenant], parsed) for line in parsed.lines)
        cycle = tenants.cycles(session).get(payer.id, MONTHLY)
        return Draft(
            payer,
            period,
            parsed.currency.asset,
            lines,
            _credits(session, parsed, payer, now),
            progressive=cycle.period_of(period.start).end
            > period.end,  # its document does not say that it was not the last
            taxes=_taxes(parsed.tax, parsed),
            tax_note=parsed.tax_note,
            purchase_order=parsed.purchase_order or "",
        )

    def _credit_note(self, session: Session, one: Archived, parsed: CreditNoteDocument, now: datetime) -> str:
        """Take the invoice, or a part of it, back again; or say why a person has to see to it."""
        found = store.listed(session, store.Filter(number=parsed.invoice.number))
        if not found or found[0].digest != parsed.invoice.digest:
            return "the database does not have that invoice"
        status, invoice = store.lock(session, found[0].id), store.by_id(session, found[0].id)
        currency = invoice.currency
        tax = sum(one.units for one in _taxes(parsed.tax or [], parsed))
        taken = {line.line: parse_units(line.amount, currency).units for line in parsed.lines or []}
        total = parse_units(parsed.total, currency).units
        note = notes.Issued(parsed, one.content, one.digest, total, tax, taken)
        if not parsed.is_whole:
            return self._partial(session, invoice, status, note, now)
        if invoice.paid:
            return "money was matched to that invoice since; agree with the payer what it is for"
        if not INVOICE.allows(status, InvoiceEvent.VOID):
            return f"that invoice is {status.value}"
        store.move(session, invoice.id, InvoiceEvent.VOID, now)
        notes.add(session, note, invoice.id)
        pricing.cancel(session, invoice.id)
        give_back(session, invoice.id, now)
        ledger.reverse(session, ledger.of_invoice(session, invoice.id), now)
        return ""

    def _partial(
        self, session: Session, invoice: Invoice, status: InvoiceStatus, note: notes.Issued, now: datetime
    ) -> str:
        if status not in CREDITABLE:
            return f"that invoice is {status.value}"
        left = creditable(session, invoice, invoice_document(session, invoice.id))
        if any(units > left.left_of(position) for position, units in note.lines.items()):
            return "less than that is left on that invoice's lines; were they credited again since?"
        book(session, invoice, note, now)
        self._settle(session, invoice.id)
        return ""


def _what(note: CreditNoteDocument) -> str:
    return f"{note.invoice.number} back" if note.is_whole else f"something off {note.invoice.number}"


def _taxes(taxes: Sequence[Tax], parsed: AnyDocument) -> tuple[TaxAmount, ...]:
    currency = parsed.currency.asset
    return tuple(TaxAmount(one.name, parse_rate(one.rate), parse_units(one.amount, currency).units) for one in taxes)


def _known(session: Session, named: Sequence[tuple[str, str]], now: datetime) -> dict[str, Tenant]:
    """All tenants by slug, with these (slug, name) among them."""
    everybody = {tenant.slug: tenant for tenant in tenants.listed(session)}
    for slug, name in named:
        if slug not in everybody:
            everybody[slug] = tenants.add(session, Tenant(slug=slug, name=name, attribution=Attribution.OBSERVED), now)
    return everybody


def _credits(session: Session, parsed: InvoiceDocument, payer: Tenant, now: datetime) -> tuple[Credit, ...]:
    """The credit that an invoice used, of the same kind and out of the same transaction; several can come out of one. What
    the database does not know yet is lacking until its transfer was read again."""
    currency, used = parsed.currency.asset, []
    held = credit_held(session, payer.id, currency.code)
    rest = {credit.id: credit.units for credit in held}
    for one in parsed.credits:
        units = parse_units(one.amount, currency).units
        for credit in held:
            if (credit.kind, credit.reference) == (one.kind, one.reference):
                part = min(units, rest[credit.id])
                rest[credit.id] -= part
                units -= part
                used.append(replace(credit, units=part))
        if units > 0:
            used.append(lack(session, Grant(payer.id, one.kind, currency.code, units, one.reference, True), now))
    return tuple(credit for credit in used if credit.units > 0)


def _line(line: Line | MeterLine | AgreedLine, consumer: Tenant, parsed: InvoiceDocument) -> DraftLine:
    span = Span(parse_time(line.period.start), parse_time(line.period.end))
    amount = parse_units(line.amount, parsed.currency.asset).units
    if isinstance(line, AgreedLine):
        key = LineKey.of(consumer.id, line.sku, span, Decimal(0))
        rated = RatedLine(key, span, 0, amount, [Share(None, 0, amount)], kind=LineKind(line.kind))
        return DraftLine(rated, NO_EVIDENCE, consumer, line.description)
    key = LineKey.of(consumer.id, line.sku, span, Decimal(line.unit_price))
    if isinstance(line, MeterLine):
        quantity = Decimal(line.quantity)
        metered = Metered(line.meter, line.aggregation, line.unit, line.unit_size, quantity, line.events)
        package = line.unit_size if isinstance(line, MeterPackageLine) else 0
        rated = RatedLine(key, span, 0, amount, [Share(None, 0, amount)], metered, package=package)
        return DraftLine(rated, LineEvidence(line.usage_digest, 0, []), consumer, line.description)
    shares = [Share(None, line.quantity_seconds, amount)]
    package = line.package_seconds if isinstance(line, PackageLine) else 0
    rated = RatedLine(key, span, line.quantity_seconds, amount, shares, package=package)
    measured = int(Decimal(line.coverage) * line.quantity_seconds)
    excluded = [(one.reason, one.seconds) for one in line.excluded]
    return DraftLine(rated, LineEvidence(line.usage_digest, measured, excluded), consumer, line.description)

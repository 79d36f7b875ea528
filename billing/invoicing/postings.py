"""What invoicing books. ARCHITECTURE has the table for all concerns."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.core.money import Money
from billing.invoicing.draft import Draft
from billing.invoicing.invoice import Invoice
from billing.ledger.account import PROMOTION, RECEIVABLE, TAX, TENANT_CREDIT, TENANT_PREPAID, WRITE_OFF, revenue
from billing.ledger.entry import Entry, EntryKind, Posting, entry_postings


@dataclass(frozen=True, slots=True)
class Noted:
    """A credit note's number, and when it is booked."""

    number: str
    at: datetime


def credit_note(invoice: Invoice, revenues: Mapping[str, int], tax: int, back: Mapping[str, int], note: Noted) -> Entry:
    """A credit note in part: the SKUs earned less, the tax office is owed less, the payer owes less. `back` is the credit,
    by kind, that the invoice had used and that is held again: the payer owed that much less already.

    What transfers paid beyond the rest becomes credit when the payments are allocated anew.
    """
    payer, currency = invoice.tenant_id, invoice.currency.code
    accounts: dict[str, int] = defaultdict(int)
    for kind, units in back.items():
        accounts[TENANT_PREPAID if kind == "prepaid" else TENANT_CREDIT] += units
    total = sum(revenues.values()) + tax
    postings = entry_postings(
        *(Posting(revenue(sku), currency, units, payer, invoice.id) for sku, units in sorted(revenues.items())),
        Posting(TAX, currency, tax, payer, invoice.id),
        Posting(RECEIVABLE, currency, sum(back.values()) - total, payer, invoice.id),
        *(Posting(account, currency, -units, payer) for account, units in sorted(accounts.items())),
    )
    return Entry(EntryKind.CREDIT_NOTE, note.at.date(), note.at, postings, invoice_id=invoice.id, memo=note.number)


def issue(draft: Draft, invoice_id: int, number: str, now: datetime) -> list[Entry]:
    """The issue itself: the payer owes, the SKUs earned, the tax office is owed. Then the credit that it used: the payer owes
    that much less."""
    payer, currency = draft.payer.id, draft.currency.code
    earned: dict[str, int] = defaultdict(int)
    for line in draft.lines:
        earned[line.rated.key.sku] += line.rated.amount
    issued = entry_postings(
        Posting(RECEIVABLE, currency, draft.total.units, payer, invoice_id),
        *(Posting(revenue(sku), currency, -units, payer, invoice_id) for sku, units in sorted(earned.items())),
        Posting(TAX, currency, -draft.tax.units, payer, invoice_id),
    )
    entries = []
    if issued:
        entries.append(Entry(EntryKind.ISSUE, now.date(), now, issued, invoice_id=invoice_id, memo=number))
    used: dict[str, int] = defaultdict(int)
    for credit in draft.credits:
        used[TENANT_PREPAID if credit.kind == "prepaid" else TENANT_CREDIT] += credit.units
    if used:
        postings = [Posting(account, currency, units, payer) for account, units in sorted(used.items())]
        postings.append(Posting(RECEIVABLE, currency, -draft.credited.units, payer, invoice_id))
        entries.append(Entry(EntryKind.CREDIT, now.date(), now, tuple(postings), invoice_id=invoice_id, memo=number))
    return entries


def grant(given: Money, tenant_id: int, reference: str, now: datetime) -> Entry:
    """Promotional credit: what it costs us is `promotion`, so that revenue stays what was earned."""
    postings = (
        Posting(PROMOTION, given.asset.code, given.units, tenant_id),
        Posting(TENANT_CREDIT, given.asset.code, -given.units, tenant_id),
    )
    return Entry(EntryKind.GRANT, now.date(), now, postings, memo=reference)


GIVEN_UP = "write_off"


def write_off(invoice: Invoice, more: int, now: datetime) -> Entry:
    """So much more of an invoice is given up; less, when it is negative."""
    currency, payer = invoice.currency.code, invoice.tenant_id
    postings = (
        Posting(WRITE_OFF, currency, more, payer, invoice.id),
        Posting(RECEIVABLE, currency, -more, payer, invoice.id),
    )
    return Entry(GIVEN_UP, now.date(), now, postings, invoice_id=invoice.id, memo=invoice.number)

"""From a draft to its document. Pure: the header holds everything that a draft does not know."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from billing.core.money import decimal_text
from billing.core.onchain import Hash32, to_hash
from billing.core.period import Span, rfc3339
from billing.core.quantity import plain
from billing.invoicing.document import (
    CREDIT_NOTE_TYPE,
    INVOICE_TYPE,
    AgreedLine,
    AppliedCredit,
    CreditLine,
    CreditNoteDocument,
    Currency,
    Excluded,
    ForwarderTerms,
    InvoiceDocument,
    Line,
    MeterLine,
    MeterPackageLine,
    PackageLine,
    Party,
    Period,
    Replaced,
    Settlement,
    Tax,
    XpubTerms,
    rate_text,
)
from billing.invoicing.draft import Draft, DraftLine, coverage_text
from billing.invoicing.goodwill import Taken
from billing.invoicing.tax import TaxAmount, TaxOffice, in_tax_currency
from billing.pricing.rating import LineKind


@dataclass(frozen=True, slots=True)
class Header:
    """Who issues, under which number, payable how. `wallet` is None when nothing is due."""

    issuer: Party
    number: str
    nonce: Hash32
    issued_at: datetime
    replaces: Replaced | None
    wallet: ForwarderTerms | XpubTerms | None
    settlement: list[Settlement]
    tax_office: TaxOffice | None = None


def invoice(draft: Draft, header: Header) -> InvoiceDocument:
    exponent = draft.currency.exponent
    payer, currency = draft.payer, draft.currency
    office = header.tax_office if draft.taxes else None
    return InvoiceDocument(
        type=INVOICE_TYPE,
        issuer=header.issuer,
        tenant=Party(id=payer.slug, name=payer.legal_name or payer.name, address=payer.address, tax_id=payer.tax_id),
        number=header.number,
        nonce=header.nonce,
        period=_period(draft.period),
        currency=Currency(code=currency.code, exponent=exponent),
        lines=[_line(line, exponent) for line in draft.lines],
        subtotal=draft.subtotal.text(),
        tax=_taxes(draft.taxes, exponent),
        total=draft.total.text(),
        credits=[
            AppliedCredit(kind=one.kind, reference=one.reference, amount=decimal_text(one.units, exponent))  # type: ignore[arg-type]
            for one in draft.credits
        ],
        amount_due=draft.amount_due.text(),
        issued_at=rfc3339(header.issued_at),
        due_at=rfc3339(header.issued_at + timedelta(days=draft.payer.terms_days)),
        replaces=header.replaces,
        wallet=header.wallet,
        settlement=header.settlement,
        purchase_order=draft.purchase_order or None,
        tax_note=draft.tax_note,
        tax_currency=office.told(currency, draft.tax.units, draft.total.units) if office else None,
    )


def _taxes(taxes: Iterable[TaxAmount], exponent: int) -> list[Tax]:
    return [Tax(name=one.name, rate=rate_text(one.rate), amount=decimal_text(one.units, exponent)) for one in taxes]


def _line(line: DraftLine, exponent: int) -> Line | MeterLine | AgreedLine:
    rated = line.rated
    common: dict[str, Any] = {
        "tenant": line.consumer.slug,
        "description": line.description,
        "sku": rated.key.sku,
        "period": _period(rated.span),
        "amount": decimal_text(rated.amount, exponent),
    }
    if rated.kind is not LineKind.USAGE:
        return AgreedLine(kind=rated.kind.value, **common)  # type: ignore[arg-type]
    common |= {"unit_price": rate_text(rated.key.unit_price), "usage_digest": line.evidence.usage_digest}
    metered = rated.metered
    if metered is not None:
        common |= {
            "meter": metered.meter,
            "aggregation": metered.aggregation,
            "quantity": plain(metered.quantity),
            "unit": metered.unit,
            "unit_size": metered.unit_size,
            "events": metered.events,
        }
        return MeterPackageLine(package="started", **common) if rated.package else MeterLine(**common)
    common |= {
        "quantity_seconds": rated.seconds,
        "coverage": coverage_text(line.evidence.measured_seconds, rated.seconds),
        "excluded": [Excluded(reason=reason, seconds=seconds) for reason, seconds in line.evidence.excluded],
    }
    return PackageLine(package_seconds=rated.package, **common) if rated.package else Line(**common)


@lru_cache(maxsize=1024)
def _period(span: Span) -> Period:
    return Period(start=rfc3339(span.start), end=rfc3339(span.end))


@dataclass(frozen=True, slots=True)
class TakenBack:
    """An issued invoice: its document, and the document's digest."""

    document: InvoiceDocument
    digest: Hash32


def void_note(taken_back: TakenBack, header: Header, reason: str) -> CreditNoteDocument:
    """The document that takes back a whole invoice."""
    invoice = taken_back.document
    has_tax = bool(invoice.tax)
    return CreditNoteDocument(
        **_heading(taken_back, header, reason),
        total=invoice.total,
        subtotal=invoice.subtotal if has_tax else None,
        tax=invoice.tax if has_tax else None,
        tax_currency=invoice.tax_currency,
    )


def partial_note(taken_back: TakenBack, header: Header, reason: str, taken: Taken) -> CreditNoteDocument:
    """The document that takes something off some lines of an invoice, with its share of the tax."""
    invoice, currency = taken_back.document, taken_back.document.currency.asset
    exponent, tax = currency.exponent, sum(one.units for one in taken.taxes)
    return CreditNoteDocument(
        **_heading(taken_back, header, reason),
        total=decimal_text(taken.net + tax, exponent),
        lines=[
            CreditLine(
                line=position,
                description=invoice.lines[position - 1].description,
                amount=decimal_text(units, exponent),
            )
            for position, units in sorted(taken.lines.items())
        ],
        subtotal=decimal_text(taken.net, exponent),
        tax=_taxes(taken.taxes, exponent),
        tax_currency=in_tax_currency(invoice.tax_currency, currency, tax, taken.net + tax)
        if invoice.tax_currency
        else None,
    )


def _heading(taken_back: TakenBack, header: Header, reason: str) -> dict[str, Any]:
    invoice = taken_back.document
    return {
        "type": CREDIT_NOTE_TYPE,
        "issuer": header.issuer,
        "tenant": invoice.tenant,
        "number": header.number,
        "nonce": header.nonce,
        "invoice": Replaced(number=invoice.number, digest=taken_back.digest),
        "currency": invoice.currency,
        "reason": reason,
        "issued_at": rfc3339(header.issued_at),
        "purchase_order": invoice.purchase_order,
    }


def nonce() -> Hash32:
    """32 random bytes: without them an address would tell whoever guesses the invoice what it was about."""
    return to_hash(secrets.token_bytes(32))


def pay_token() -> str:
    """Opens the pay page to whoever was sent its link, and to nobody who only knows the document."""
    return secrets.token_urlsafe(32)

"""From a draft to its document. Pure: the header holds everything that a draft does not know."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing.core.money import Money, decimal_text
from billing.core.onchain import Hash32, to_hash
from billing.core.period import Span, rfc3339
from billing.core.quantity import plain
from billing.invoicing.document import (
    CREDIT_NOTE_TYPE,
    INVOICE_TYPE,
    AgreedLine,
    AppliedCredit,
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
    XpubTerms,
    rate_text,
)
from billing.invoicing.draft import Draft, DraftLine, coverage_text
from billing.invoicing.invoice import Invoice
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


def invoice(draft: Draft, header: Header) -> InvoiceDocument:
    exponent = draft.currency.exponent
    total = draft.total.text()
    return InvoiceDocument(
        type=INVOICE_TYPE,
        issuer=header.issuer,
        tenant=Party(id=draft.payer.slug, name=draft.payer.legal_name or draft.payer.name),
        number=header.number,
        nonce=header.nonce,
        period=_period(draft.period),
        currency=Currency(code=draft.currency.code, exponent=exponent),
        lines=[_line(line, exponent) for line in draft.lines],
        subtotal=total,
        tax=[],
        total=total,
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
    )


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


def _period(span: Span) -> Period:
    return Period(start=rfc3339(span.start), end=rfc3339(span.end))


def credit_note(taken_back: Invoice, header: Header, reason: str) -> CreditNoteDocument:
    """The document that cancels an invoice."""
    currency = taken_back.currency
    return CreditNoteDocument(
        type=CREDIT_NOTE_TYPE,
        issuer=header.issuer,
        tenant=Party(id=taken_back.tenant, name=taken_back.tenant_name),
        number=header.number,
        nonce=header.nonce,
        invoice=Replaced(number=taken_back.number, digest=taken_back.digest),
        currency=Currency(code=currency.code, exponent=currency.exponent),
        total=Money(taken_back.total, currency).text(),
        reason=reason,
        issued_at=rfc3339(header.issued_at),
    )


def nonce() -> Hash32:
    """32 random bytes: without them an address would tell whoever guesses the invoice what it was about."""
    return to_hash(secrets.token_bytes(32))


def pay_token() -> str:
    """Opens the pay page to whoever was sent its link, and to nobody who only knows the document."""
    return secrets.token_urlsafe(32)

"""What others are told about invoices: the facts that never change, not what is left to pay. Pure.

What is left is asked of the API: a notice may come late, twice, or after the next one.
"""

from typing import Any

from billing.core.money import decimal_text
from billing.core.onchain import Hash32
from billing.core.period import rfc3339
from billing.invoicing.document import CreditNoteDocument, InvoiceDocument
from billing.invoicing.invoice import Invoice
from billing.invoicing.runway import Runway, Terms
from billing.invoicing.standing import Debt, Judged
from billing.notices.notice import Notice, NoticeType


def issued(document: InvoiceDocument, digest: Hash32, tenant_id: int, pay_url: str) -> Notice:
    data = {
        "number": document.number,
        "tenant": document.tenant.id,
        "currency": document.currency.code,
        "total": document.total,
        "amount_due": document.amount_due,
        "period": {"start": document.period.start, "end": document.period.end},
        "issued_at": document.issued_at,
        "due_at": document.due_at,
        "document_digest": digest,
        "replaces": None if document.replaces is None else document.replaces.number,
        "pay_url": pay_url,
    }
    return Notice(NoticeType.INVOICE_ISSUED, document.number, data, tenant_id)


def changed(kind: NoticeType, invoice: Invoice) -> Notice:
    """An invoice was paid, opened again, or voided."""
    return Notice(kind, invoice.number, _facts(invoice), invoice.tenant_id)


def _facts(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "tenant": invoice.tenant,
        "currency": invoice.currency.code,
        "total": decimal_text(invoice.total, invoice.currency.exponent),
        "amount_due": decimal_text(invoice.amount_due, invoice.currency.exponent),
        "period": {"start": rfc3339(invoice.period.start), "end": rfc3339(invoice.period.end)},
        "issued_at": rfc3339(invoice.issued_at),
        "due_at": rfc3339(invoice.due_at),
        "document_digest": invoice.digest,
    }


def credit_note(document: CreditNoteDocument, digest: Hash32, invoice: Invoice) -> Notice:
    data = {
        "number": document.number,
        "invoice": invoice.number,
        "tenant": invoice.tenant,
        "currency": document.currency.code,
        "effect": "void" if document.is_whole else "partial",
        "subtotal": document.subtotal or document.total,
        "total": document.total,
        "reason": document.reason,
        "issued_at": document.issued_at,
        "document_digest": digest,
    }
    return Notice(NoticeType.CREDIT_NOTE_ISSUED, document.number, data, invoice.tenant_id)


def due(kind: NoticeType, debt: Debt, payer: tuple[int, str], days: int, pay_url: str) -> Notice:
    """A reminder `days` before an invoice is due, or so many after it was. Each step is told once."""
    data = {
        "number": debt.invoice,
        "tenant": payer[1],
        "currency": debt.currency,
        "remaining": decimal_text(debt.remaining, debt.exponent),
        "due_at": rfc3339(debt.due_at),
        "days": days,
        "pay_url": pay_url,
    }
    return Notice(kind, debt.invoice, data, payer[0], once=f"{kind.value} {debt.invoice} {days}")


def standing(kind: NoticeType, judged: Judged, payer: tuple[int, str]) -> Notice:
    """A tenant may not go on, or may again. Its customers, if it is a reseller, with it."""
    overdue = [
        {
            "number": one.invoice,
            "currency": one.currency,
            "remaining": decimal_text(one.remaining, one.exponent),
            "due_at": rfc3339(one.due_at),
        }
        for one in judged.overdue
    ]
    data: dict[str, Any] = {"tenant": payer[1], "standing": judged.standing.value, "overdue": overdue}
    if judged.prepaid is not None:
        data["currency"] = judged.prepaid.currency.code
        data["available"] = decimal_text(judged.prepaid.available, judged.prepaid.currency.exponent)
    return Notice(kind, payer[1], data, payer[0])


def credit(kind: NoticeType, found: Runway, payer: tuple[int, str], terms: Terms) -> Notice:
    """A prepaid tenant's credit became low, or is used up. Told at each crossing; what is left now is asked of the API."""
    data = {
        "tenant": payer[1],
        "currency": found.currency.code,
        "held": decimal_text(found.held, found.currency.exponent),
        "accrued": decimal_text(found.accrued, found.currency.exponent),
        "available": decimal_text(found.available, found.currency.exponent),
        "per_day": decimal_text(found.per_day, found.currency.exponent),
        "days_left": found.days_left,
        "suspends": terms.suspend_at_zero,
    }
    return Notice(kind, payer[1], data, payer[0])

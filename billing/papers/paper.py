"""What is printed of a document: a pure function, so that the paper never says anything else than the document."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from billing.core.errors import Invalid
from billing.core.onchain import Address, Hash32, checksum
from billing.core.period import parse_time
from billing.invoicing import document as documents
from billing.invoicing.document import (
    AgreedLine,
    AnyLine,
    CreditNoteDocument,
    DepositDocument,
    InvoiceDocument,
    Line,
    MeterLine,
    MeterPackageLine,
    PackageLine,
    Par,
    Party,
    RateRule,
    XpubTerms,
)
from billing.invoicing.parts import Tax, units_of
from billing.invoicing.verify import address_of
from billing.papers import words
from billing.papers.grouping import groups
from billing.papers.qr import qr_svg

NETWORKS: Final = {
    1: "Ethereum", 10: "OP Mainnet", 56: "BNB Smart Chain", 137: "Polygon", 8453: "Base", 42161: "Arbitrum One",
    43114: "Avalanche C-Chain", 59144: "Linea", 534352: "Scroll",
}  # fmt: skip
"""Names that do not change; another chain is told by its id alone."""
_METERED: Final = {
    "sum": "Sum of",
    "count": "Count of",
    "max": "Maximum by subject, from",
    "latest": "Latest by subject, from",
}

Rows = list[list[str]]


def content(document: bytes) -> dict[str, Any]:
    """Everything that the layout is given; only text, lists and numbers. Raises Invalid for bytes that are no document."""
    parsed = documents.parse(document)
    if isinstance(parsed, DepositDocument):
        raise Invalid("a deposit document has no paper", remedy="print an invoice or a credit note")
    digest = documents.digest(document)
    issued = parse_time(parsed.issued_at)
    shared = {
        "number": parsed.number,
        "date": [issued.year, issued.month, issued.day, issued.hour, issued.minute, issued.second],
        "issuer": party(parsed.issuer),
        "to": "Bill to",
        "tenant": party(parsed.tenant),
        "currency": parsed.currency.code,
        "digest": _grouped(digest),
    }
    told = _invoice(parsed, digest) if isinstance(parsed, InvoiceDocument) else _credit_note(parsed)
    return {**shared, **told}


def _invoice(invoice: InvoiceDocument, digest: Hash32) -> dict[str, Any]:
    code, due = invoice.currency.code, units_of(invoice.amount_due, invoice.currency.asset)
    amount = f"{words.amount(invoice.amount_due)} {code}"
    facts = [
        ["Invoice number", invoice.number],
        ["Date of issue", words.day(invoice.issued_at)],
        ["Date due", words.day(invoice.due_at)] if due > 0 else [],
        ["Billing period", words.period(invoice.period.start, invoice.period.end)],
        ["Purchase order", invoice.purchase_order] if invoice.purchase_order else [],
        ["Replaces", invoice.replaces.number] if invoice.replaces else [],
    ]
    return {
        "title": "Invoice",
        "facts": [fact for fact in facts if fact],
        "headline": f"{amount} due {words.day(invoice.due_at)}" if due > 0 else "Nothing is due",
        "groups": _groups(invoice),
        "head": ["Description", "Quantity", "Unit price", f"Amount ({code})"],
        "sums": [
            ["Subtotal", words.amount(invoice.subtotal)],
            *_tax_rows(invoice.tax, invoice.subtotal),
            ["Total", words.amount(invoice.total)],
            *([f"Credit applied ({one.kind})", f"−{words.amount(one.amount)}"] for one in invoice.credits),
        ],
        "sum": ["Amount due", amount],
        "notes": [*_tax_notes(invoice), _rounding(invoice)],
        "pay": _pay(invoice, digest) if due > 0 else None,
        "proof": "Is it genuine?",
        "verify": _how_to_verify(invoice),
    }


def _credit_note(note: CreditNoteDocument) -> dict[str, Any]:
    code, total = note.currency.code, f"{words.amount(note.total)} {note.currency.code}"
    facts = [
        ["Credit note number", note.number],
        ["Date of issue", words.day(note.issued_at)],
        ["For invoice", note.invoice.number],
        ["Purchase order", note.purchase_order] if note.purchase_order else [],
        ["Reason", note.reason],
    ]
    lines = [
        {"description": one.description, "subs": [f"Line {one.line} of invoice {note.invoice.number}"],
         "cells": [[""], [""], [words.amount(one.amount)]]}
        for one in note.lines or ()
    ]  # fmt: skip
    whole = f"Invoice {note.invoice.number} in full"
    if note.is_whole:
        amount = words.amount(note.subtotal or note.total)
        lines = [{"description": whole, "subs": [], "cells": [[""], [""], [amount]]}]
    return {
        "title": "Credit note",
        "facts": [fact for fact in facts if fact],
        "headline": f"{total} credited",
        "groups": [{"title": "", "lines": lines, "subtotal": ""}],
        "head": ["Description", "", "", f"Amount ({code})"],
        "sums": [
            ["Subtotal", words.amount(note.subtotal or note.total)],
            *_tax_rows(note.tax or [], note.subtotal or note.total),
        ],
        "sum": ["Total credited", total],
        "notes": [
            *([words.in_tax_currency(note)] if note.tax_currency else []),
            f"This credit note takes invoice {note.invoice.number} back: please do not pay it any more."
            if note.is_whole
            else f"Invoice {note.invoice.number} stands; this much less is asked for."
            " What was paid beyond the rest is kept as credit.",
        ],
        "pay": None,
        "proof": "Its document",
        "verify": [
            "The document that this paper was printed from is attached to this file."
            f" The invoice that it names has the digest {note.invoice.digest}."
        ],
    }


def party(one: Party) -> dict[str, Any]:
    """A name, and the lines below it."""
    lines = [part.strip() for part in one.address.split(",")] if one.address else []
    return {"name": one.name, "lines": lines + ([f"Tax number {one.tax_id}"] if one.tax_id else [])}


def _grouped(text: str) -> list[str]:
    return words.fours(text)


def _groups(invoice: InvoiceDocument) -> list[dict[str, Any]]:
    whole = (invoice.period.start, invoice.period.end)
    return [
        {
            "title": group.title,
            "lines": [_line(line, whole) for line in group.lines],
            "subtotal": words.amount(group.subtotal) if group.subtotal else "",
        }
        for group in groups(invoice)
    ]


def _line(line: AnyLine, whole: tuple[str, str]) -> dict[str, Any]:
    span = (line.period.start, line.period.end)
    subs = [] if span == whole else [words.span(*span)]
    if isinstance(line, AgreedLine):
        return {"description": line.description, "subs": subs, "cells": [[""], [""], [words.amount(line.amount)]]}
    started = " started" if isinstance(line, MeterPackageLine) else ""
    if isinstance(line, MeterLine):
        size = "" if line.unit_size == 1 else f"{line.unit_size:,} "
        subs.append(f"{_METERED[line.aggregation]} {line.events:,} events")
        quantity, price = [words.thousands(line.quantity), line.unit], [f"per {size}{line.unit}{started}"]
    else:
        subs.append(f"Coverage {words.percent(line.coverage)}")
        if not words.hours_are_exact(line.quantity_seconds):
            subs.append(f"Exactly {line.quantity_seconds:,} s")
        subs += [f"Not billed: {one.seconds:,} s, {one.reason}" for one in line.excluded]
        package = [f"per {line.package_seconds // 3600:,} h started"] if isinstance(line, PackageLine) else []
        quantity, price = [f"{words.hours(line.quantity_seconds)} h"], package
    return {
        "description": line.description,
        "subs": subs,
        "cells": [quantity, [words.price(line.unit_price), *price], [words.amount(line.amount)]],
    }


def _tax_rows(taxes: Iterable[Tax], subtotal: str) -> Rows:
    return [
        [f"{one.name} {words.tax_rate(one.rate)} on {words.amount(subtotal)}", words.amount(one.amount)]
        for one in taxes
    ]


def _tax_notes(invoice: InvoiceDocument) -> list[str]:
    told = [invoice.tax_note.text] if invoice.tax_note else []
    return [*told, words.in_tax_currency(invoice)] if invoice.tax_currency else told


def _rounding(invoice: InvoiceDocument) -> str:
    text = "Time is billed by the second. Each line is rounded once, half to even"
    if invoice.tax:
        text += "; tax once on the subtotal"
    if any(isinstance(line, Line) for line in invoice.lines):
        text += ". Coverage is the share of the billed time in which the device was also measured"
    return text + "."


def _pay(invoice: InvoiceDocument, digest: Hash32) -> dict[str, Any]:
    address = address_of(invoice, digest)
    assert address is not None, "something is due"
    shown = checksum(address)
    return {
        "address": _grouped(shown),
        "qr": qr_svg(shown),
        "ways": [
            [
                f"{one.token} on {_network(one.chain_id)}",
                checksum(Address(one.token_address)),
                _rule(one.rule, one.token, invoice),
            ]
            for one in invoice.settlement
        ],
        "care": "Send one of these tokens, on its own network only, to this address."
        " What an exchange takes as its fee must be added: the whole amount must arrive.",
    }


def _network(chain_id: int) -> str:
    name = NETWORKS.get(chain_id)
    return f"{name} (chain {chain_id})" if name else f"chain {chain_id}"


def _rule(rule: RateRule, token: str, invoice: InvoiceDocument) -> str:
    code = invoice.currency.code
    if isinstance(rule, Par):
        return f"1 {token} = 1 {code}"
    if rule.kind == "par":
        return f"1 {token} = 1 {code} while the feed is within {rule.limit} of it"
    return f"at the rate of the feed {checksum(Address(rule.feed))}"


def _how_to_verify(invoice: InvoiceDocument) -> Sequence[str]:
    if invoice.wallet is None:
        return ["Nothing is due, so there is no payment address that could be wrong."]
    if isinstance(invoice.wallet, XpubTerms):
        return [
            "The address is named, and commits to nothing: compare it with the issuer by another way before you pay."
        ]
    return [
        "The payment address follows from the invoice's document, which is attached to this file: it commits to every line."
        " Save the attachment and check it offline, with the pin from your contract and never with one from a message or a page:",
        f"stablemeter verify {invoice.number}.json --issuer PIN",
    ]

"""Everything that an invoice page shows, put together from what was loaded. Pure but for the QR codes' library."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from billing.chain.policy import Rule
from billing.chain.watcher import Chain
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from billing.invoicing.document import (
    AgreedLine,
    AnyLine,
    InvoiceDocument,
    Line,
    MeterLine,
    MeterPackageLine,
    PackageLine,
    Period,
    XpubTerms,
)
from billing.invoicing.invoice import Invoice
from billing.invoicing.store.notes import CreditNote
from billing.papers import words
from billing.papers.grouping import groups
from billing.reconciliation.valuation import asked
from billing.web.api.invoices import PaymentOption, Today, payment_options
from billing.web.pages.chart import chart
from billing.web.pages.live import Arrival, ChainTerms, Live, PayState
from billing.web.pages.qr import qr_svg
from billing.web.pages.telling import (
    ADDRESS_CODE,
    LINK_CODE,
    UNKNOWN_COIN,
    WALLET,
    Telling,
    Voided,
    left,
    more_lines,
    tell,
    tell_arrival,
    tell_behind,
    tell_counted,
    tell_notes,
    tell_rate,
)

RECEIPTS_MAX: Final = 50
LINES_MAX: Final = 200
"""More lines than anybody reads on a page: the rest is in the PDF."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read for a page. `offered` are the tokens that are accepted today; `behind` says of a chain's newest block
    that was read how old it is, when that is too old. `used` are seconds by day, where somebody looks at them."""

    invoice: Invoice
    document: InvoiceDocument
    live: Live
    voided: Voided
    chains: Mapping[int, ChainTerms]
    today: Today
    behind: Mapping[int, datetime]
    noted: Sequence[CreditNote] = ()
    used: Mapping[date, int] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to pay. `amount` is plain text that wallets read."""

    id: str
    option: PaymentOption
    network: str
    amount: str
    rated: str
    chosen: bool
    counted: str
    behind: str


def terms_of(chain: Chain) -> ChainTerms:
    finality = chain.finality
    bands = tuple((band.up_to, _terms(chain, band.confirmed_by)) for band in finality.bands)
    return replace(_terms(chain, finality.confirmed_by), bands=bands)


def _terms(chain: Chain, by: Rule) -> ChainTerms:
    if isinstance(by, int):
        return ChainTerms(shown(chain.name), by, seconds=by * chain.block_seconds)
    return ChainTerms(shown(chain.name), None, by)


def shown(name: str) -> str:
    """A chain's name with a capital: `base` is `Base`."""
    return name[:1].upper() + name[1:]


def network(chains: Mapping[int, ChainTerms], chain_id: int) -> str:
    return chains[chain_id].name if chain_id in chains else f"chain {chain_id}"


def choices(loaded: Loaded, wanted: str) -> list[Choice]:
    """The ways to pay; one of them is chosen."""
    if not loaded.live.payable:
        return []
    options = payment_options(loaded.invoice, loaded.document, loaded.live.to_send, loaded.today)
    ids = [f"{option.chain_id}-{option.token}" for option in options]
    chosen = wanted if wanted in ids else ids[0] if ids else ""
    return [
        Choice(
            id=one,
            option=option,
            network=network(loaded.chains, option.chain_id),
            amount=words.tokens(int(option.amount_units), option.decimals),
            rated=tell_rate(option.token, option.rate, loaded.invoice.currency, option.rate_until),
            chosen=one == chosen,
            counted=tell_counted(_terms_of_rest(loaded, option.chain_id)),
            behind=_behind(loaded, option.chain_id),
        )
        for one, option in zip(ids, options, strict=True)
    ]


def _terms_of_rest(loaded: Loaded, chain_id: int) -> ChainTerms | None:
    """When a payment of what is left to send counts on a chain."""
    terms, now = loaded.chains.get(chain_id), loaded.live
    came = max((one.piled for one in now.arrivals if one.chain_id == chain_id), default=Decimal(0))
    rest = Decimal(now.to_send).scaleb(-loaded.invoice.currency.exponent)
    return terms and terms.of(came + rest)


def _behind(loaded: Loaded, chain_id: int) -> str:
    at = loaded.behind.get(chain_id)
    return tell_behind(network(loaded.chains, chain_id), at) if at else ""


def status(loaded: Loaded, issuer: str) -> dict[str, Any]:
    """The page's state as JSON. `version` changes whenever anything that the page shows changes."""
    invoice, now = loaded.invoice, loaded.live
    told = tell(invoice, now, loaded.voided, issuer)

    def money(units: int) -> str:
        return decimal_text(units, invoice.currency.exponent)

    pending = [one for one in now.arrivals if one.pending]
    last = min(pending, key=lambda one: one.confirmations, default=None)
    terms = _terms_of(loaded, last) if last else None
    found = {
        "number": invoice.number,
        "state": now.state.value,
        "notes": [note.value for note in now.notes],
        "headline": told.headline,
        "detail": told.detail,
        "currency": invoice.currency.code,
        "amount_due": money(now.due),
        "amount_paid": money(now.paid),
        "amount_detected": money(now.detected),
        "amount_remaining": money(now.remaining),
        "amount_credited": money(now.credited),
        "confirmations": last.confirmations if last else None,
        "confirmations_needed": terms.needed if terms else None,
        "overdue": now.overdue,
        "settled": now.settled,
        "transfers": [_transfer(one) for one in now.arrivals[-RECEIPTS_MAX:]],
        "transfers_total": len(now.arrivals),
    }
    late = sorted(loaded.behind)
    rates = [
        [one.chain_id, one.token, terms.until] if terms else None
        for one in loaded.document.settlement
        for terms in [asked(one.rule, one.chain_id, loaded.today.quotes)]
    ]
    return {**found, "version": hashlib.sha256(orjson.dumps([found, late, rates, len(loaded.noted)])).hexdigest()[:16]}


def _terms_of(loaded: Loaded, one: Arrival) -> ChainTerms | None:
    terms = loaded.chains.get(one.chain_id)
    return terms and terms.of(one.piled)


def _transfer(one: Arrival) -> dict[str, Any]:
    return {
        "chain_id": one.chain_id,
        "token": one.symbol,
        "token_address": checksum(Address(one.token_address)),
        "amount_units": str(one.units),
        "tx_hash": one.tx_hash,
        "from_address": checksum(Address(one.sender)),
        "block_number": one.block_number,
        "mined_at": rfc3339(one.mined_at),
        "status": one.status.value,
        "disposition": one.disposition.value,
        "confirmations": one.confirmations,
    }


def context(loaded: Loaded, wanted: str) -> dict[str, Any]:
    """What the page's template is given."""
    invoice, document, now = loaded.invoice, loaded.document, loaded.live
    issuer = document.issuer.name
    ways = choices(loaded, wanted)
    chosen = next((way for way in ways if way.chosen), None)
    told: Telling = tell(invoice, now, loaded.voided, issuer)
    return {
        "invoice": invoice,
        "document": document,
        "live": now,
        "told": told,
        "notes": tell_notes(now, invoice, issuer),
        "voided": loaded.voided,
        "choices": ways,
        "chosen": chosen,
        "codes": _codes(chosen),
        "credit_notes": loaded.noted,
        "receipts": [_receipt(one, loaded) for one in now.arrivals[-RECEIPTS_MAX:]],
        "receipts_left_out": max(0, len(now.arrivals) - RECEIPTS_MAX),
        "groups": _groups(document),
        "lines_left_out": more_lines(max(0, len(document.lines) - LINES_MAX)),
        "chart": chart(loaded.used, invoice.period) if loaded.used else None,
        "wallet_words": WALLET,
        "has_meters": any(isinstance(line, MeterLine) for line in document.lines),
        "address": checksum(invoice.address) if invoice.address else None,
        "is_xpub": isinstance(document.wallet, XpubTerms),
        "is_closed": now.state in (PayState.PAID, PayState.OVERPAID, PayState.NOTHING_DUE, PayState.VOID),
        "version": status(loaded, issuer)["version"],
        "words": words,
    }


def _codes(chosen: Choice | None) -> dict[str, Any]:
    if chosen is None:
        return {}
    option = chosen.option
    return {
        "address": qr_svg(option.address, ADDRESS_CODE.format(address=option.address)),
        "link": qr_svg(option.uri, LINK_CODE.format(amount=chosen.amount, token=option.token, network=chosen.network)),
    }


def _receipt(one: Arrival, loaded: Loaded) -> dict[str, Any]:
    terms = loaded.chains.get(one.chain_id)
    unknown = UNKNOWN_COIN.format(units=one.units)
    known = (
        f"{words.thousands(words.tokens(one.units, one.decimals))} {one.symbol}"
        if one.decimals is not None
        else unknown
    )
    return {
        "amount": known,
        "network": network(loaded.chains, one.chain_id),
        "chain_id": one.chain_id,
        "token_address": checksum(Address(one.token_address)),
        "told": tell_arrival(one, loaded.invoice.currency, loaded.chains),
        "tx_hash": one.tx_hash,
        "short": f"{one.tx_hash[:10]}…{one.tx_hash[-8:]}",
        "left": left(one, terms) if one.pending else "",
        "sender": checksum(Address(one.sender)),
        "block": one.block_number,
        "mined_at": one.mined_at,
        "stands": one.stands,
        "pending": one.pending,
        "confirmations": one.confirmations,
        "needed": within.needed if (within := _terms_of(loaded, one)) else None,
    }


def _groups(document: InvoiceDocument) -> list[dict[str, Any]]:
    """With as many lines as are shown; a group of which none is keeps its subtotal."""
    found, room = [], LINES_MAX
    for group in groups(document):
        found.append(
            {
                "title": group.title,
                "lines": [_line(line, document.period) for line in group.lines[:room]],
                "subtotal": words.amount(group.subtotal) if group.subtotal else "",
            }
        )
        room = max(0, room - len(group.lines))
    return found


def _line(line: AnyLine, whole: Period) -> dict[str, Any]:
    return {
        "description": line.description,
        "sku": line.sku,
        "amount": words.amount(line.amount).replace("-", "−"),
        "part": "" if line.period == whole else words.span(line.period.start, line.period.end),
        **_what(line),
    }


def _what(line: AnyLine) -> dict[str, Any]:
    if isinstance(line, AgreedLine):
        return dict.fromkeys(("quantity", "unit", "per", "source", "seconds", "price", "coverage"), "") | {
            "excluded": []
        }
    return _of_meter(line) if isinstance(line, MeterLine) else _of_time(line)


def _of_meter(line: MeterLine) -> dict[str, Any]:
    size = "" if line.unit_size == 1 else f"{line.unit_size:,} "
    return {
        "quantity": words.thousands(line.quantity),
        "unit": line.unit,
        "price": words.price(line.unit_price),
        "per": f"per {size}{line.unit}" + (" started" if isinstance(line, MeterPackageLine) else ""),
        "source": f"{_HOW[line.aggregation]} {line.events:,} event{'' if line.events == 1 else 's'}",
        "seconds": "",
        "coverage": "",
        "excluded": [],
    }


_HOW: Final = {
    "sum": "Sum of",
    "count": "Count of",
    "max": "Maximum by subject, from",
    "latest": "Latest by subject, from",
}


def _of_time(line: Line) -> dict[str, Any]:
    return {
        "quantity": words.hours(line.quantity_seconds),
        "unit": "GPU-hours",
        "per": f"per {line.package_seconds // 3600:,} h started" if isinstance(line, PackageLine) else "",
        "source": "",
        "seconds": "" if words.hours_are_exact(line.quantity_seconds) else f"{line.quantity_seconds:,} s",
        "price": words.price(line.unit_price),
        "coverage": words.percent(line.coverage),
        "excluded": [f"{words.hours(one.seconds)} h not billed: {one.reason}" for one in line.excluded],
    }

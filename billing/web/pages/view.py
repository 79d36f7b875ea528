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
from billing.papers import words as plain
from billing.papers.grouping import groups
from billing.reconciliation.valuation import asked
from billing.web.api.invoices import PaymentOption, Today, payment_options
from billing.web.languages import ENGLISH, Spoken, Words
from billing.web.pages.chart import chart
from billing.web.pages.live import Arrival, ChainTerms, Live, PayState
from billing.web.pages.qr import qr_svg
from billing.web.pages.telling import (
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
    wallet_words,
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


def network(words: Words, chains: Mapping[int, ChainTerms], chain_id: int) -> str:
    return chains[chain_id].name if chain_id in chains else words.say("chain %(id)s", id=chain_id)


def choices(words: Words, loaded: Loaded, wanted: str) -> list[Choice]:
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
            network=network(words, loaded.chains, option.chain_id),
            amount=plain.tokens(int(option.amount_units), option.decimals),
            rated=tell_rate(words, option.token, option.rate, loaded.invoice.currency, option.rate_until),
            chosen=one == chosen,
            counted=tell_counted(words, _terms_of_rest(loaded, option.chain_id)),
            behind=_behind(words, loaded, option.chain_id),
        )
        for one, option in zip(ids, options, strict=True)
    ]


def _terms_of_rest(loaded: Loaded, chain_id: int) -> ChainTerms | None:
    """When a payment of what is left to send counts on a chain."""
    terms, now = loaded.chains.get(chain_id), loaded.live
    came = max((one.piled for one in now.arrivals if one.chain_id == chain_id), default=Decimal(0))
    rest = Decimal(now.to_send).scaleb(-loaded.invoice.currency.exponent)
    return terms and terms.of(came + rest)


def _behind(words: Words, loaded: Loaded, chain_id: int) -> str:
    at = loaded.behind.get(chain_id)
    return tell_behind(words, network(words, loaded.chains, chain_id), at) if at else ""


def status(words: Words, loaded: Loaded, issuer: str) -> dict[str, Any]:
    """The page's state as JSON. `version` changes whenever anything that the page shows changes, and is one for all languages."""
    found = _status(loaded, tell(ENGLISH, loaded.invoice, loaded.live, loaded.voided, issuer))
    told = tell(words, loaded.invoice, loaded.live, loaded.voided, issuer)
    return {**found, "headline": told.headline, "detail": told.detail}


def _status(loaded: Loaded, told: Telling) -> dict[str, Any]:
    invoice, now = loaded.invoice, loaded.live

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


def context(spoken: Spoken, loaded: Loaded, wanted: str) -> dict[str, Any]:
    """What the page's template is given."""
    invoice, document, now = loaded.invoice, loaded.document, loaded.live
    issuer = document.issuer.name
    words = spoken.words
    ways = choices(words, loaded, wanted)
    chosen = next((way for way in ways if way.chosen), None)
    told: Telling = tell(words, invoice, now, loaded.voided, issuer)
    return {
        "invoice": invoice,
        "document": document,
        "live": now,
        "told": told,
        "notes": tell_notes(words, now, invoice, issuer),
        "voided": loaded.voided,
        "choices": ways,
        "chosen": chosen,
        "codes": _codes(words, chosen),
        "credit_notes": loaded.noted,
        "receipts": [_receipt(words, one, loaded) for one in now.arrivals[-RECEIPTS_MAX:]],
        "receipts_left_out": max(0, len(now.arrivals) - RECEIPTS_MAX),
        "groups": _groups(words, document),
        "lines_left_out": more_lines(words, max(0, len(document.lines) - LINES_MAX)),
        "chart": chart(words, loaded.used, invoice.period) if loaded.used else None,
        "wallet_words": wallet_words(words),
        "has_meters": any(isinstance(line, MeterLine) for line in document.lines),
        "address": checksum(invoice.address) if invoice.address else None,
        "is_xpub": isinstance(document.wallet, XpubTerms),
        "is_closed": now.state in (PayState.PAID, PayState.OVERPAID, PayState.NOTHING_DUE, PayState.VOID),
        "version": status(words, loaded, issuer)["version"],
        "words": words,
        "spoken": spoken,
        "kept": f"&lang={words.code}" if spoken.asked else "",
        "wanted": chosen.id if chosen and chosen.id == wanted else "",
    }


def _codes(words: Words, chosen: Choice | None) -> dict[str, Any]:
    if chosen is None:
        return {}
    option = chosen.option
    return {
        "address": qr_svg(option.address, words.say("QR code of the address %(address)s", address=option.address)),
        "link": qr_svg(
            option.uri,
            words.say(
                "QR code of a payment link: %(amount)s %(token)s on %(network)s",
                amount=chosen.amount,
                token=option.token,
                network=chosen.network,
            ),
        ),
    }


def _receipt(words: Words, one: Arrival, loaded: Loaded) -> dict[str, Any]:
    terms = loaded.chains.get(one.chain_id)
    unknown = words.say("%(units)s units of an unknown token", units=one.units)
    known = (
        f"{words.number(plain.tokens(one.units, one.decimals))} {one.symbol}" if one.decimals is not None else unknown
    )
    return {
        "amount": known,
        "network": network(words, loaded.chains, one.chain_id),
        "chain_id": one.chain_id,
        "token_address": checksum(Address(one.token_address)),
        "told": tell_arrival(words, one, loaded.invoice.currency, loaded.chains),
        "tx_hash": one.tx_hash,
        "short": f"{one.tx_hash[:10]}…{one.tx_hash[-8:]}",
        "left": left(words, one, terms) if one.pending else "",
        "sender": checksum(Address(one.sender)),
        "block": one.block_number,
        "mined_at": one.mined_at,
        "stands": one.stands,
        "pending": one.pending,
        "confirmations": one.confirmations,
        "needed": within.needed if (within := _terms_of(loaded, one)) else None,
    }


def _groups(words: Words, document: InvoiceDocument) -> list[dict[str, Any]]:
    """With as many lines as are shown; a group of which none is keeps its subtotal."""
    found, room = [], LINES_MAX
    for group in groups(document):
        found.append(
            {
                "title": group.title,
                "lines": [_line(words, line, document.period) for line in group.lines[:room]],
                "subtotal": words.amount(group.subtotal) if group.subtotal else "",
            }
        )
        room = max(0, room - len(group.lines))
    return found


def _line(words: Words, line: AnyLine, whole: Period) -> dict[str, Any]:
    return {
        "description": line.description,
        "sku": line.sku,
        "amount": words.signed(line.amount),
        "part": "" if line.period == whole else words.span(line.period.start, line.period.end),
        **_what(words, line),
    }


def _what(words: Words, line: AnyLine) -> dict[str, Any]:
    if isinstance(line, AgreedLine):
        return dict.fromkeys(("quantity", "unit", "per", "source", "seconds", "price", "coverage"), "") | {
            "excluded": []
        }
    return _of_meter(words, line) if isinstance(line, MeterLine) else _of_time(words, line)


def _of_meter(words: Words, line: MeterLine) -> dict[str, Any]:
    unit = line.unit if line.unit_size == 1 else f"{words.number(str(line.unit_size))} {line.unit}"
    started = isinstance(line, MeterPackageLine)
    return {
        "quantity": words.number(line.quantity),
        "unit": line.unit,
        "price": words.price(line.unit_price),
        "per": words.say("per %(unit)s started", unit=unit) if started else words.say("per %(unit)s", unit=unit),
        "source": _made_of(words, line),
        "seconds": "",
        "coverage": "",
        "excluded": [],
    }


def _made_of(words: Words, line: MeterLine) -> str:
    events = words.count("%(count)s event", "%(count)s events", line.events, count=words.number(str(line.events)))
    return {
        "sum": words.say("Sum of %(events)s", events=events),
        "count": words.say("Count of %(events)s", events=events),
        "max": words.say("Maximum by subject, from %(events)s", events=events),
        "latest": words.say("Latest by subject, from %(events)s", events=events),
    }[line.aggregation]


def _of_time(words: Words, line: Line) -> dict[str, Any]:
    package = words.number(str(line.package_seconds // 3600)) if isinstance(line, PackageLine) else ""
    exact = plain.hours_are_exact(line.quantity_seconds)
    return {
        "quantity": words.hours(line.quantity_seconds),
        "unit": words.say("GPU-hours"),
        "per": words.say("per %(hours)s h started", hours=package) if package else "",
        "source": "",
        "seconds": "" if exact else words.say("%(count)s s", count=words.number(str(line.quantity_seconds))),
        "price": words.price(line.unit_price),
        "coverage": words.percent(line.coverage),
        "excluded": [
            words.say("%(hours)s h not billed: %(reason)s", hours=words.hours(one.seconds), reason=one.reason)
            for one in line.excluded
        ],
    }

"""`/pay/{token}`: an invoice for whoever pays it. The token is the right to see it, and nothing else."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from billing.chain import store as chain
from billing.core.errors import NotFound
from billing.db.engine import Session
from billing.invoicing import store as invoicing
from billing.invoicing.document import ByFeed, Line, RateRule
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import notes
from billing.quotes import store as quotes
from billing.reconciliation import store as reconciliation
from billing.reconciliation.valuation import PAR, feed_of, promised
from billing.web import store
from billing.web.api.invoices import Today, document_response, pdf_response
from billing.web.deps import IN_LANGUAGE, InLanguage, Web, Wired
from billing.web.errors import RETRY_SECONDS, problem
from billing.web.languages import ENGLISH
from billing.web.pages import view
from billing.web.pages.live import Arrival, TokenKey, accepted_tokens, arrival, live
from billing.web.pages.telling import Voided
from billing.web.pages.view import Loaded
from billing.web.shield import caller_of

router = APIRouter(include_in_schema=False)

BEHIND: Final = timedelta(minutes=15)
"""A newest block older than this is worth a word to who is paying."""

TRANSFERS_MAX: Final = 1000
"""Anybody may send dust to an address: so many transfers are looked at, the newest of them are shown."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}")


@router.api_route("/pay/{token}", methods=["GET", "HEAD"])
def show(web: Web, spoken: InLanguage, token: str, pay: Annotated[str, Query(max_length=60)] = "") -> Response:
    """The page. `pay` is the network and token that were chosen."""
    with web.database.transaction() as session:
        loaded = _load(web, session, token)
        loaded = replace(loaded, used=_used(session, loaded))
    context = {"token": token, **view.context(spoken, loaded, pay)}
    return web.pages.html("pay.html", context, headers=IN_LANGUAGE, words=spoken.words)


@router.get("/pay/{token}/status")
def status(web: Web, spoken: InLanguage, response: Response, token: str) -> dict[str, Any]:
    """What the page's script asks for every few seconds."""
    with web.database.transaction() as session:
        loaded = _load(web, session, token)
    response.headers.update(IN_LANGUAGE)
    return view.status(spoken.words, loaded, loaded.document.issuer.name)


@router.get("/pay/{token}/events", response_class=Response)
async def events(web: Web, request: Request, token: str, since: Annotated[str, Query(max_length=40)] = "") -> Response:
    """What the page's script listens to: an event whenever the page's version is another one than `since`."""
    await run_in_threadpool(_require, web, token)
    caller = caller_of(request.scope)
    if not web.streams.admits(caller):
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages listen; ask for the status", headers=headers)
    stream = web.streams.follow(token, caller, since)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _require(web: Wired, token: str) -> None:
    """Raises NotFound."""
    with web.database.transaction() as session:
        _invoice(session, token)


class Versions:
    """The versions of the pages that are open. A page whose payments did not move keeps its version for a while: only time
    (a due date, a rate) can change it."""

    KEPT: Final = timedelta(seconds=30)

    def __init__(self, web: Wired) -> None:
        self._web = web
        self._known: dict[str, tuple[tuple[Any, ...], datetime, str]] = {}

    def __call__(self, tokens: Collection[str]) -> dict[str, str]:
        now, known = self._web.clock.now(), self._known
        with self._web.database.transaction() as session:
            marks = store.pay_marks(session, tokens)
            self._known = {
                token: known[token]
                if token in known and known[token][0] == mark and now - known[token][1] < self.KEPT
                else (mark, now, _version(self._web, session, token))
                for token, mark in marks.items()
            }
        return {token: version for token, (_, _, version) in self._known.items()}


def _version(web: Wired, session: Session, token: str) -> str:
    loaded = _load(web, session, token)
    found: str = view.status(ENGLISH, loaded, loaded.document.issuer.name)["version"]
    return found


@router.get("/pay/{token}/document", response_class=Response)
def document(web: Web, token: str, request: Request) -> Response:
    """The document, byte for byte."""
    with web.database.transaction() as session:
        invoice = _invoice(session, token)
        _, content, digest = store.document(session, invoice.number)
    return document_response(request, invoice.number, content, digest)


@router.get("/pay/{token}/invoice.pdf", response_class=Response)
def pdf(web: Web, token: str, request: Request) -> Response:
    """The invoice as PDF."""
    with web.database.transaction() as session:
        invoice = _invoice(session, token)
        content = invoicing.document(session, invoice.id)
    return pdf_response(web, request, invoice.number, content, invoice.digest)


@router.get("/pay/{token}/credit-notes/{number}.pdf", response_class=Response)
def note_pdf(web: Web, token: str, number: Annotated[str, Path(max_length=40)], request: Request) -> Response:
    """One of the invoice's credit notes as PDF."""
    with web.database.transaction() as session:
        note = _note(session, token, number)
        content = notes.document(session, note.id)
    return pdf_response(web, request, number, content, note.digest)


@router.get("/pay/{token}/credit-notes/{number}", response_class=Response)
def note_document(web: Web, token: str, number: Annotated[str, Path(max_length=40)], request: Request) -> Response:
    """The document of one of the invoice's credit notes, byte for byte."""
    with web.database.transaction() as session:
        note = _note(session, token, number)
        content = notes.document(session, note.id)
    return document_response(request, number, content, note.digest)


def _note(session: Session, token: str, number: str) -> notes.CreditNote:
    """Raises NotFound, also for another invoice's."""
    invoice = _invoice(session, token)
    found = [one for one in notes.of_invoice(session, invoice.id) if one.number == number]
    if not found:
        raise NotFound("there is no such credit note")
    return found[0]


def _invoice(session: Session, token: str) -> Invoice:
    """Raises NotFound."""
    found = invoicing.listed(session, invoicing.Filter(pay_token=token)) if _TOKEN.fullmatch(token) else []
    if not found:
        raise NotFound("there is no such invoice")
    return found[0]


def _load(web: Wired, session: Session, token: str) -> Loaded:
    invoice, now = _invoice(session, token), web.clock.now()
    document = store.documents(session, [invoice.id])[invoice.id]
    settlement = {(one.chain_id, one.token_address): (one.token, one.decimals) for one in document.settlement}
    known = {**web.tokens, **settlement}
    accepted = set(accepted_tokens(invoice, document))
    rows = reconciliation.payments(session, invoice_ids=[invoice.id], limit=TRANSFERS_MAX)
    currencies = {
        (one.chain_id, str(one.address)): one.currency for chain in web.chains.values() for one in chain.tokens
    }
    arrivals = [arrival(row, known, accepted, currencies) for row in rows]
    rules = {(one.chain_id, one.token_address): one.rule for one in document.settlement}
    arrivals = [_expected(session, one, rules) if one.pending else one for one in arrivals]
    behind = {
        row["chain_id"]: row["cursor_mined_at"]
        for row in chain.cursors(session)
        if row["chain_id"] in {one.chain_id for one in document.settlement}
        and (row["stopped"] or now - row["cursor_mined_at"] > BEHIND)
    }
    return Loaded(
        invoice=invoice,
        document=document,
        live=live(invoice, arrivals, store.tolerance(session, invoice.tenant_id), now),
        voided=_voided(session, invoice) if invoice.status is InvoiceStatus.VOID else Voided(),
        chains={chain_id: view.terms_of(one) for chain_id, one in web.chains.items()},
        today=Today(web.offered, quotes.newest(session, now)),
        behind=behind,
        noted=notes.of_invoice(session, invoice.id),
    )


def _used(session: Session, loaded: Loaded) -> Mapping[date, int]:
    """Only for an invoice with lines of time: what only fees or events made has no hours."""
    if not any(isinstance(line, Line) for line in loaded.document.lines):
        return {}
    return store.usage_by_day(session, loaded.invoice.tenant_id, loaded.invoice.period)


def _expected(session: Session, one: Arrival, rules: Mapping[TokenKey, RateRule]) -> Arrival:
    """What a payment that does not count yet will count as: what was promised at its time. Else what was told last is the best
    guess: nobody is asked to pay twice because a feed is silent."""
    rule = rules[one.chain_id, one.token_address]
    feed = feed_of(rule)
    if feed is None:
        return one
    held = quotes.live(session, one.chain_id, feed, one.mined_at)
    last = quotes.last(session, one.chain_id, feed)
    rates = [rate.value for quote in held if (rate := promised(rule, quote.rate)) is not None]
    if not rates and isinstance(rule, ByFeed):
        rates = [last.rate.value] if last is not None else [Decimal(0)]
    return replace(one, rate=max(rates, default=PAR))


def _voided(session: Session, invoice: Invoice) -> Voided:
    found = notes.of_invoice(session, invoice.id)
    replacement = store.replacement(session, invoice.id)
    if not found:
        return Voided(replacement=replacement)
    return Voided(found[-1].number, found[-1].reason, replacement)

"""The words for an invoice's state: calm, precise, and without a promise that nobody keeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.chain.lifecycle import ChainState
from billing.core.money import Asset
from billing.invoicing.invoice import Invoice
from billing.papers import words
from billing.reconciliation.lifecycle import Disposition
from billing.web.pages.live import Arrival, ChainTerms, Live, Note, PayState


@dataclass(frozen=True, slots=True)
class Telling:
    """`tone` is calm, moving, good, care or stop. `label` and `figure` are the one amount to look at."""

    headline: str
    detail: str
    tone: str
    label: str
    figure: str


@dataclass(frozen=True, slots=True)
class Voided:
    """What took a void invoice back, and what replaces it: (number, pay token)."""

    credit_note: str = ""
    reason: str = ""
    replacement: tuple[str, str] | None = None


def tell(invoice: Invoice, now: Live, voided: Voided, issuer: str) -> Telling:
    def money(units: int) -> str:
        return words.money(units, invoice.currency)

    due, due_on = money(now.remaining), words.day(invoice.due_at)
    due_when = f"It was due on {due_on}." if now.overdue else f"It is due on {due_on}."
    wrong = "Something came in that this invoice does not accept. It waits for a person; see below."
    received = f"{money(now.paid)} was received. The rest {'was' if now.overdue else 'is'} due on {due_on}."
    credited = f"Thank you. {money(now.credited)} more than was due came in and is kept as your credit."
    closed = f"{issuer} has closed it unpaid. A payment would still settle it."
    return {
        PayState.WAITING: Telling("Waiting for payment", due_when, "calm", "To pay", due),
        PayState.LATE: Telling("Overdue", f"{due_when} It can still be paid.", "care", "To pay", due),
        PayState.WRONG_TOKEN: Telling("Not paid yet", wrong, "care", "To pay", due),
        PayState.DETECTED: Telling(
            "Payment detected", _detected(now, money), "moving", "Detected", money(now.detected)
        ),
        PayState.UNVALUED: Telling("Payment received", _unvalued(issuer), "care", "Not valued yet", due),
        PayState.CHECKING: Telling("Payment received", _checked(issuer), "calm", "Being checked", due),
        PayState.PART_PAID: Telling("Partly paid", received, "care", "Still to pay", due),
        PayState.PAID: Telling(
            "Paid", "Thank you. Nothing remains to be paid.", "good", "Amount paid", money(now.paid)
        ),
        PayState.OVERPAID: Telling("Paid, with a credit", credited, "good", "Amount paid", money(now.paid)),
        PayState.NOTHING_DUE: Telling(
            "Nothing to pay", "Nothing is due on this invoice.", "good", "Amount due", money(0)
        ),
        PayState.VOID: Telling("Void: do not pay", _voided(voided), "stop", "To pay", money(0)),
        PayState.UNCOLLECTIBLE: Telling("Unpaid", closed, "stop", "Unpaid", due),
    }[now.state]


def _detected(now: Live, money: Callable[[int], str]) -> str:
    pending = sum(one.pending for one in now.arrivals)
    what = "Your payment was seen and is" if pending == 1 else f"{pending} payments were seen and are"
    rest = f"{money(now.to_send)} will then remain." if now.to_send else "There is nothing more to do."
    return f"{what} being confirmed. {rest}"


def _unvalued(issuer: str) -> str:
    return (
        "What the token was worth could not be told when it was paid."
        f" A person at {issuer} decides; please do not pay again meanwhile."
    )


def _checked(issuer: str) -> str:
    return f"Your payment has arrived and is being checked by {issuer}. Please do not pay again meanwhile."


def _voided(voided: Voided) -> str:
    note = f" by the credit note {voided.credit_note}" if voided.credit_note else ""
    reason = f" ({voided.reason})" if voided.reason else ""
    return f"This invoice was taken back{note}{reason}."


def tell_notes(now: Live, invoice: Invoice, issuer: str) -> list[str]:
    """What else to say, one sentence a note."""
    several = {
        Note.WRONG_TOKEN: "A token that this invoice does not accept has arrived. It does not count as payment. It is not lost:"
        f" a person at {issuer} decides whether to credit it or to send it back.",
        Note.AFTER_VOID: f"Money arrived for this void invoice. It is kept apart until a person at {issuer} decides about it.",
        Note.CHECKING: f"A payment has arrived and is being checked by {issuer}.",
        Note.RESOLVED: f"A transfer that did not fit was dealt with by {issuer}; ask them if you miss it.",
        Note.TAKEN_BACK: "A transfer that was seen earlier is no longer part of its chain. If it is mined again, it counts again.",
        Note.CREDIT: "The credit is used by your next invoice.",
        Note.CREDIT_NOT_FINAL: "The credit can be used once the payment can no longer be taken back by its chain.",
        Note.WAIVED: f"A rest of {words.money(now.waived, invoice.currency)} is not asked for.",
    }
    paid_late = Note.LATE in now.notes and not now.overdue
    said = {Note.CHECKING} if now.state is PayState.CHECKING else set()
    return [several[note] for note in now.notes if note in several and note not in said] + (
        ["It was paid after its due date."] if paid_late else []
    )


def tell_arrival(one: Arrival, currency: Asset, chains: Mapping[int, ChainTerms]) -> str:
    """What became of one transfer."""
    if not one.stands:
        return "No longer part of its chain"
    if one.pending:
        return confirming(one, chains.get(one.chain_id))
    if one.held:
        return "Does not count; a person decides what becomes of it"
    if one.checked:
        return "Received; it is being checked"
    if one.disposition is Disposition.RESOLVED:
        return "Dealt with by the issuer"
    parts = []
    if one.applied:
        parts.append(f"{words.money(one.applied, currency)} paid")
    if one.credited:
        parts.append(f"{words.money(one.credited, currency)} kept as credit")
    sure = "final" if one.status is ChainState.FINAL else f"{_count(one.confirmations, 'confirmation')}"
    return f"{', '.join(parts) or 'Too little to count'}; {sure}{', after the due date' if one.late else ''}"


def tell_rate(token: str, rate: str, currency: Asset, until: str | None) -> str:
    """What a token counts as while its rate is promised; empty for one that is worth its face value for ever."""
    if until is None:
        return ""
    held = words.moment(until)
    return f"One {token} counts as {words.rate(rate)} {currency.code} if the payment is in a block before {held}."


def tell_counted(terms: ChainTerms | None) -> str:
    """When a payment counts on a chain."""
    if terms is None:
        return ""
    if terms.needed is None:
        return f"A payment counts once {terms.name} marks its block as {terms.tag}."
    blocks = "in its first block" if terms.needed == 1 else f"after {terms.needed} confirmations"
    about = f", about {words.duration(terms.seconds)}" if terms.seconds else ""
    return f"A payment counts {blocks}{about}."


def tell_behind(network: str, at: datetime) -> str:
    """That the newest block which was read is old."""
    return (
        f"The newest block of {network} that was read here is of {words.moment(at)}."
        " A payment shows up later than usual; it is not lost."
    )


def confirming(one: Arrival, terms: ChainTerms | None) -> str:
    """How far a transfer is on its way to count."""
    if one.status is not ChainState.SEEN:
        return "Confirmed; it is being booked"
    terms = terms and terms.of(one.piled)
    if terms is None or terms.needed is None:
        tag = f"counts once its chain marks the block as {terms.tag}" if terms else "waits for its chain"
        return f"{_count(one.confirmations, 'confirmation')}; {tag}"
    return f"{min(one.confirmations, terms.needed)} of {_count(terms.needed, 'confirmation')}"


def left(one: Arrival, terms: ChainTerms | None) -> str:
    """About how long a transfer takes until it counts; empty where nobody knows."""
    terms = terms and terms.of(one.piled)
    if one.status is not ChainState.SEEN or terms is None or not terms.needed or not terms.seconds:
        return ""
    blocks = terms.needed - one.confirmations
    return f"about {words.duration(-(-terms.seconds * blocks // terms.needed))} to go" if blocks > 0 else ""


def more_lines(count: int) -> str:
    """Says that lines are not on the page; empty when all are."""
    return (
        f"{_count(count, 'more line')} {'is' if count == 1 else 'are'} in the PDF and in the document." if count else ""
    )


ADDRESS_CODE: Final = "QR code of the address {address}"
LINK_CODE: Final = "QR code of a payment link: {amount} {token} on {network}"
UNKNOWN_COIN: Final = "{units} units of an unknown token"

WALLET: Final = {
    "pay": "Pay {amount} {token} with {wallet}",
    "some": "your wallet",
    "account": "Choose an account in {wallet}.",
    "switching": "{wallet} asks whether it may switch to {network}.",
    "confirm": "Confirm in {wallet}: {amount} {token} on {network}. Compare the address with this page.",
    "sent": "Sent. This page shows the payment once it is in a block. Transaction {hash}",
    "before": "A payment was sent from this page and is not in a block yet. Look into your wallet before you pay again."
    " Transaction {hash}",
    "declined": "You declined in {wallet}. Nothing was sent.",
    "busy": "{wallet} waits for an answer to something it asked before. Open it, answer, and try again.",
    "nobody": "{wallet} named no account. Nothing was sent.",
    "unknown": "{wallet} does not know {network} (chain id {chain}). Add the network there and try again. Nothing was sent.",
    "wrong": "{wallet} is on another network. Choose {network} (chain id {chain}) there and try again. Nothing was sent.",
    "poor": "That account has less than {amount} {token} on {network}. Nothing was sent.",
    "changed": "What is to be paid has just changed. Look at the amount and try again. Nothing was sent.",
    "failed": "{wallet} did not send it: {why}",
}
"""What the page says while a wallet is asked; its script fills in the names in braces."""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""The words for an invoice's state: calm, precise, and without a promise that nobody keeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.chain.lifecycle import ChainState
from billing.core.money import Asset
from billing.invoicing.invoice import Invoice
from billing.reconciliation.lifecycle import Disposition
from billing.web.languages import Words
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


def tell(words: Words, invoice: Invoice, now: Live, voided: Voided, issuer: str) -> Telling:
    def money(units: int) -> str:
        return words.money(units, invoice.currency)

    say, due = words.say, money(now.remaining)
    closed = say("%(issuer)s has closed it unpaid. A payment would still settle it.", issuer=issuer)
    nothing = say("Nothing is due on this invoice.")
    thanks = say("Thank you. Nothing remains to be paid.")
    wrong = say("Something came in that this invoice does not accept. It waits for a person; see below.")
    credited = say(
        "Thank you. %(amount)s more than was due came in and is kept as your credit.", amount=money(now.credited)
    )
    seen = _detected(words, now, money)
    return {
        PayState.WAITING: Telling(say("Waiting for payment"), _due(words, invoice, now), "calm", say("To pay"), due),
        PayState.LATE: Telling(say("Overdue"), _due(words, invoice, now), "care", say("To pay"), due),
        PayState.WRONG_TOKEN: Telling(say("Not paid yet"), wrong, "care", say("To pay"), due),
        PayState.DETECTED: Telling(say("Payment detected"), seen, "moving", say("Detected"), money(now.detected)),
        PayState.UNVALUED: Telling(
            say("Payment received"), _unvalued(words, issuer), "care", say("Not valued yet"), due
        ),
        PayState.CHECKING: Telling(say("Payment received"), _checked(words, issuer), "calm", say("Being checked"), due),
        PayState.PART_PAID: Telling(
            say("Partly paid"), _received(words, invoice, now), "care", say("Still to pay"), due
        ),
        PayState.PAID: Telling(say("Paid"), thanks, "good", say("Amount paid"), money(now.paid)),
        PayState.OVERPAID: Telling(say("Paid, with a credit"), credited, "good", say("Amount paid"), money(now.paid)),
        PayState.NOTHING_DUE: Telling(say("Nothing to pay"), nothing, "good", say("Amount due"), money(0)),
        PayState.VOID: Telling(say("Void: do not pay"), _voided(words, voided), "stop", say("To pay"), money(0)),
        PayState.UNCOLLECTIBLE: Telling(say("Unpaid"), closed, "stop", say("Unpaid"), due),
    }[now.state]


def _due(words: Words, invoice: Invoice, now: Live) -> str:
    day = words.day(invoice.due_at)
    if now.state is PayState.LATE:
        return words.say("It was due on %(day)s. It can still be paid.", day=day)
    if now.overdue:
        return words.say("It was due on %(day)s.", day=day)
    return words.say("It is due on %(day)s.", day=day)


def _received(words: Words, invoice: Invoice, now: Live) -> str:
    amount, day = words.money(now.paid, invoice.currency), words.day(invoice.due_at)
    if now.overdue:
        return words.say("%(amount)s was received. The rest was due on %(day)s.", amount=amount, day=day)
    return words.say("%(amount)s was received. The rest is due on %(day)s.", amount=amount, day=day)


def _detected(words: Words, now: Live, money: Callable[[int], str]) -> str:
    pending = sum(one.pending for one in now.arrivals)
    what = words.count(
        "Your payment was seen and is being confirmed.",
        "%(number)s payments were seen and are being confirmed.",
        pending,
    )
    if now.to_send:
        rest = words.say("%(amount)s will then remain.", amount=money(now.to_send))
        return f"{what} {rest}"
    rest = words.say("There is nothing more to do.")
    return f"{what} {rest}"


def _unvalued(words: Words, issuer: str) -> str:
    return words.say(
        "What the token was worth could not be told when it was paid."
        " A person at %(issuer)s decides; please do not pay again meanwhile.",
        issuer=issuer,
    )


def _checked(words: Words, issuer: str) -> str:
    return words.say(
        "Your payment has arrived and is being checked by %(issuer)s. Please do not pay again meanwhile.", issuer=issuer
    )


def _voided(words: Words, voided: Voided) -> str:
    note, reason = voided.credit_note, voided.reason
    if note and reason:
        return words.say(
            "This invoice was taken back by the credit note %(note)s (%(reason)s).", note=note, reason=reason
        )
    if note:
        return words.say("This invoice was taken back by the credit note %(note)s.", note=note)
    return words.say("This invoice was taken back.")


def tell_notes(words: Words, now: Live, invoice: Invoice, issuer: str) -> list[str]:
    """What else to say, one sentence a note."""
    say = words.say
    several = {
        Note.WRONG_TOKEN: say(
            "A token that this invoice does not accept has arrived. It does not count as payment. It is not lost:"
            " a person at %(issuer)s decides whether to credit it or to send it back.",
            issuer=issuer,
        ),
        Note.AFTER_VOID: say(
            "Money arrived for this void invoice. It is kept apart until a person at %(issuer)s decides about it.",
            issuer=issuer,
        ),
        Note.CHECKING: say("A payment has arrived and is being checked by %(issuer)s.", issuer=issuer),
        Note.RESOLVED: say(
            "A transfer that did not fit was dealt with by %(issuer)s; ask them if you miss it.", issuer=issuer
        ),
        Note.TAKEN_BACK: say(
            "A transfer that was seen earlier is no longer part of its chain. If it is mined again, it counts again."
        ),
        Note.CREDIT: say("The credit is used by your next invoice."),
        Note.CREDIT_NOT_FINAL: say("The credit can be used once the payment can no longer be taken back by its chain."),
        Note.WAIVED: say("A rest of %(amount)s is not asked for.", amount=words.money(now.waived, invoice.currency)),
    }
    paid_late = Note.LATE in now.notes and not now.overdue
    said = {Note.CHECKING} if now.state is PayState.CHECKING else set()
    return [several[note] for note in now.notes if note in several and note not in said] + (
        [say("It was paid after its due date.")] if paid_late else []
    )


def tell_arrival(words: Words, one: Arrival, currency: Asset, chains: Mapping[int, ChainTerms]) -> str:
    """What became of one transfer."""
    if not one.stands:
        return words.say("No longer part of its chain")
    if one.pending:
        return confirming(words, one, chains.get(one.chain_id))
    if one.held:
        return words.say("Does not count; a person decides what becomes of it")
    if one.checked:
        return words.say("Received; it is being checked")
    if one.disposition is Disposition.RESOLVED:
        return words.say("Dealt with by the issuer")
    return _both(words, _became(words, one, currency), _sure(words, one))


def _both(words: Words, first: str, second: str) -> str:
    return words.say("%(first)s; %(second)s", first=first, second=second)


def _became(words: Words, one: Arrival, currency: Asset) -> str:
    parts = []
    if one.applied:
        parts.append(words.say("%(amount)s paid", amount=words.money(one.applied, currency)))
    if one.credited:
        parts.append(words.say("%(amount)s kept as credit", amount=words.money(one.credited, currency)))
    return words.say(", ").join(parts) or words.say("Too little to count")


def _sure(words: Words, one: Arrival) -> str:
    if one.status is ChainState.FINAL:
        return words.say("final, after the due date") if one.late else words.say("final")
    if one.late:
        return words.count(
            "%(number)s confirmation, after the due date",
            "%(number)s confirmations, after the due date",
            one.confirmations,
        )
    return _confirmations(words, one.confirmations)


def _confirmations(words: Words, number: int) -> str:
    return words.count("%(number)s confirmation", "%(number)s confirmations", number)


def tell_rate(words: Words, token: str, rate: str, currency: Asset, until: str | None) -> str:
    """What a token counts as while its rate is promised; empty for one that is worth its face value for ever."""
    if until is None:
        return ""
    return words.say(
        "One %(token)s counts as %(rate)s %(currency)s if the payment is in a block before %(until)s.",
        token=token,
        rate=words.rate(rate),
        currency=currency.code,
        until=words.moment(until),
    )


def tell_counted(words: Words, terms: ChainTerms | None) -> str:
    """When a payment counts on a chain."""
    if terms is None:
        return ""
    if terms.needed is None:
        return words.say(
            "A payment counts once %(network)s marks its block as %(tag)s.", network=terms.name, tag=terms.tag
        )
    about = words.duration(terms.seconds) if terms.seconds else ""
    if about:
        return words.count(
            "A payment counts in its first block, about %(about)s.",
            "A payment counts after %(number)s confirmations, about %(about)s.",
            terms.needed,
            about=about,
        )
    return words.count(
        "A payment counts in its first block.", "A payment counts after %(number)s confirmations.", terms.needed
    )


def tell_behind(words: Words, network: str, at: datetime) -> str:
    """That the newest block which was read is old."""
    return words.say(
        "The newest block of %(network)s that was read here is of %(at)s."
        " A payment shows up later than usual; it is not lost.",
        network=network,
        at=words.moment(at),
    )


def confirming(words: Words, one: Arrival, terms: ChainTerms | None) -> str:
    """How far a transfer is on its way to count."""
    if one.status is not ChainState.SEEN:
        return words.say("Confirmed; it is being booked")
    terms = terms and terms.of(one.piled)
    if terms is None:
        waits = words.say("waits for its chain")
        return _both(words, _confirmations(words, one.confirmations), waits)
    if terms.needed is None:
        tag = words.say("counts once its chain marks the block as %(tag)s", tag=terms.tag)
        return _both(words, _confirmations(words, one.confirmations), tag)
    return words.count(
        "%(done)s of %(number)s confirmation",
        "%(done)s of %(number)s confirmations",
        terms.needed,
        done=min(one.confirmations, terms.needed),
    )


def left(words: Words, one: Arrival, terms: ChainTerms | None) -> str:
    """About how long a transfer takes until it counts; empty where nobody knows."""
    terms = terms and terms.of(one.piled)
    if one.status is not ChainState.SEEN or terms is None or not terms.needed or not terms.seconds:
        return ""
    blocks = terms.needed - one.confirmations
    if blocks <= 0:
        return ""
    return words.say("about %(time)s to go", time=words.duration(-(-terms.seconds * blocks // terms.needed)))


def more_lines(words: Words, count: int) -> str:
    """Says that lines are not on the page; empty when all are."""
    return (
        words.count(
            "%(number)s more line is in the PDF and in the document.",
            "%(number)s more lines are in the PDF and in the document.",
            count,
        )
        if count
        else ""
    )


def wallet_words(words: Words) -> dict[str, str]:
    """What the page says while a wallet is asked; its script fills in the names in braces."""
    say = words.say
    return {
        "pay": say("Pay {amount} {token} with {wallet}"),
        "some": say("your wallet"),
        "account": say("Choose an account in {wallet}."),
        "switching": say("{wallet} asks whether it may switch to {network}."),
        "confirm": say("Confirm in {wallet}: {amount} {token} on {network}. Compare the address with this page."),
        "sent": say("Sent. This page shows the payment once it is in a block. Transaction {hash}"),
        "before": say(
            "A payment was sent from this page and is not in a block yet. Look into your wallet before you pay again."
            " Transaction {hash}"
        ),
        "declined": say("You declined in {wallet}. Nothing was sent."),
        "busy": say("{wallet} waits for an answer to something it asked before. Open it, answer, and try again."),
        "nobody": say("{wallet} named no account. Nothing was sent."),
        "unknown": say(
            "{wallet} does not know {network} (chain id {chain}). Add the network there and try again. Nothing was sent."
        ),
        "wrong": say(
            "{wallet} is on another network. Choose {network} (chain id {chain}) there and try again. Nothing was sent."
        ),
        "poor": say("That account has less than {amount} {token} on {network}. Nothing was sent."),
        "changed": say("What is to be paid has just changed. Look at the amount and try again. Nothing was sent."),
        "failed": say("{wallet} did not send it: {why}"),
    }

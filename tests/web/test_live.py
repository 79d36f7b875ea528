"""What a payer is told, for every way in which an invoice and its transfers can stand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.chain.lifecycle import ChainState
from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import month
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation.lifecycle import Disposition
from billing.web.languages import ENGLISH
from billing.web.pages.live import Arrival, ChainTerms, Live, Note, PayState, live, pile
from billing.web.pages.telling import Voided, confirming, left, more_lines, tell, tell_arrival, tell_notes
from tests.factories import at

USD = Asset("USD", 2)
NOW = at(30, day=31)
SEEN, CONFIRMED, FINAL, ORPHANED = ChainState.SEEN, ChainState.CONFIRMED, ChainState.FINAL, ChainState.ORPHANED
MATCHED, UNMATCHED, SUSPENDED = Disposition.MATCHED, Disposition.UNMATCHED, Disposition.SUSPENDED
BANDED = ChainTerms(
    "Base", None, "finalized", bands=((Decimal(100), ChainTerms("Base", 3)), (Decimal(500), ChainTerms("Base", 9)))
)
CHAINS = {1: ChainTerms("Base", 12, seconds=24), 2: ChainTerms("Main", None, "finalized")}


def invoice(status: InvoiceStatus = InvoiceStatus.OPEN, *, due: int = 20_000, remaining: int | None = None) -> Invoice:
    paid = status in (InvoiceStatus.PAID, InvoiceStatus.VOID)
    return Invoice(
        id=1,
        number="INV-000001",
        tenant="acme",
        tenant_id=1,
        tenant_name="Acme",
        status=status,
        currency=USD,
        period=month(2026, 10),
        total=due,
        credits=0,
        amount_due=due,
        remaining=(0 if paid else due) if remaining is None else remaining,
        issued_at=NOW,
        due_at=NOW + timedelta(days=14),
        digest=Hash32("0x" + "0" * 64),
        address=Address("0x" + "1" * 40),
        pay_token="t" * 43,
        replaces=None,
    )


def transfer(units: int = 200_000_000, status: ChainState = SEEN, **fields: Any) -> Arrival:
    """200.00 USDC, just seen."""
    one = Arrival(
        chain_id=1,
        token_address="0x" + "2" * 40,
        symbol="USDC",
        decimals=6,
        units=units,
        tx_hash="0x" + "3" * 64,
        sender="0x" + "4" * 40,
        block_number=7,
        mined_at=NOW,
        status=status,
        disposition=UNMATCHED,
        kind="",
        late=False,
        confirmations=1,
        applied=0,
        credited=0,
        waived=0,
        accepted=True,
        currency="USD",
    )
    return replace(one, **fields)


def paid(applied: int, *, credited: int = 0, waived: int = 0, status: ChainState = CONFIRMED, **fields: Any) -> Arrival:
    units = (applied + credited) * 10_000
    return transfer(
        units, status, disposition=MATCHED, kind="exact", applied=applied, credited=credited, waived=waived, **fields
    )


OTHER: dict[str, Any] = {"symbol": "OUSD", "accepted": False}
STATES = {
    "nothing came": (invoice(), [], PayState.WAITING, [], 20_000),
    "seen": (invoice(), [transfer()], PayState.DETECTED, [], 0),
    "confirmed but not booked yet": (invoice(), [transfer(status=CONFIRMED)], PayState.DETECTED, [], 0),
    "a part is seen": (invoice(), [transfer(50_000_000)], PayState.DETECTED, [], 15_000),
    "all but a cent is seen": (invoice(), [transfer(199_990_000)], PayState.DETECTED, [], 0),
    "two parts in one token are valued together": (
        invoice(), [transfer(33_335_000), transfer(33_335_000, tx_hash="0x5")], PayState.DETECTED, [], 20_000 - 6_667,
    ),
    "a part was paid": (invoice(remaining=15_000), [paid(5_000)], PayState.PART_PAID, [], 15_000),
    "a part was paid and the rest is seen": (
        invoice(remaining=15_000), [paid(5_000), transfer(150_000_000, tx_hash="0x5")], PayState.DETECTED, [], 0,
    ),
    "paid": (invoice(InvoiceStatus.PAID), [paid(20_000)], PayState.PAID, [], 0),
    "paid within the tolerance": (invoice(InvoiceStatus.PAID), [paid(19_999, waived=1)], PayState.PAID, [Note.WAIVED], 0),
    "too much, not final": (
        invoice(InvoiceStatus.PAID), [paid(20_000, credited=5_000)], PayState.OVERPAID, [Note.CREDIT_NOT_FINAL], 0,
    ),
    "too much, final": (
        invoice(InvoiceStatus.PAID), [paid(20_000, credited=5_000, status=FINAL)], PayState.OVERPAID, [Note.CREDIT], 0,
    ),
    "paid late": (invoice(InvoiceStatus.PAID), [paid(20_000, late=True)], PayState.PAID, [Note.LATE], 0),
    "nothing due": (invoice(InvoiceStatus.PAID, due=0), [], PayState.NOTHING_DUE, [], 0),
    "money for an invoice on which nothing is due": (
        invoice(InvoiceStatus.PAID, due=0), [transfer()], PayState.NOTHING_DUE, [], 0,
    ),
    "void": (invoice(InvoiceStatus.VOID), [], PayState.VOID, [], 0),
    "void, and money is seen": (
        invoice(InvoiceStatus.VOID), [transfer(accepted=False)], PayState.VOID, [Note.AFTER_VOID, Note.NEEDS_PERSON], 0,
    ),
    "void, and money is kept": (
        invoice(InvoiceStatus.VOID), [transfer(status=FINAL, accepted=False, disposition=SUSPENDED, kind="after_void")],
        PayState.VOID, [Note.AFTER_VOID, Note.NEEDS_PERSON], 0,
    ),
    "a wrong token is seen": (
        invoice(), [transfer(**OTHER)], PayState.WRONG_TOKEN, [Note.WRONG_TOKEN, Note.NEEDS_PERSON], 20_000,
    ),
    "its worth is unknown": (
        invoice(), [transfer(status=CONFIRMED, disposition=SUSPENDED, kind="no_rate")], PayState.UNVALUED,
        [Note.NEEDS_PERSON], 20_000,
    ),
    "its sender is on a list": (
        invoice(), [transfer(status=CONFIRMED, disposition=Disposition.HELD)], PayState.CHECKING, [Note.CHECKING], 20_000,
    ),
    "it was let through just now": (
        invoice(), [transfer(status=FINAL, disposition=Disposition.RELEASED)], PayState.CHECKING, [Note.CHECKING], 20_000,
    ),
    "one is held, and another one paid": (
        invoice(InvoiceStatus.PAID, remaining=0), [transfer(status=FINAL, disposition=Disposition.HELD), paid(20_000, tx_hash="0x5")],
        PayState.PAID, [Note.CHECKING], 0,
    ),
    "a wrong token waits": (
        invoice(), [transfer(status=CONFIRMED, disposition=SUSPENDED, kind="wrong_token", **OTHER)], PayState.WRONG_TOKEN,
        [Note.WRONG_TOKEN, Note.NEEDS_PERSON], 20_000,
    ),
    "a wrong token was dealt with": (
        invoice(), [transfer(status=FINAL, disposition=Disposition.RESOLVED, kind="wrong_token", **OTHER)],
        PayState.WAITING, [Note.RESOLVED], 20_000,
    ),
    "a wrong token and the right one": (
        invoice(), [transfer(**OTHER), transfer(tx_hash="0x5")], PayState.DETECTED, [Note.WRONG_TOKEN, Note.NEEDS_PERSON], 0,
    ),
    "given up": (invoice(InvoiceStatus.UNCOLLECTIBLE), [], PayState.UNCOLLECTIBLE, [], 20_000),
    "given up, and money is seen": (invoice(InvoiceStatus.UNCOLLECTIBLE), [transfer()], PayState.DETECTED, [], 0),
    "taken back by the chain": (
        invoice(), [transfer(status=ORPHANED, disposition=Disposition.REVERSED)], PayState.WAITING, [Note.TAKEN_BACK], 20_000,
    ),
    "taken back and mined again": (
        invoice(), [transfer(status=ORPHANED), transfer(block_number=8)], PayState.DETECTED, [], 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_what_the_page_says(name: str) -> None:
    given, transfers, state, notes, to_send = STATES[name]
    now = live(given, transfers, 1, NOW)
    assert (now.state, list(now.notes), now.to_send) == (state, notes, to_send)
    assert now.payable == (to_send > 0 and state not in (PayState.UNVALUED, PayState.CHECKING))
    told = tell(ENGLISH, given, now, Voided(), "Issuer")
    assert told.headline and told.detail and told.figure.endswith(" USD")


def test_every_state_and_note_is_reached_by_a_story() -> None:
    stories = [live(given, transfers, 1, NOW) for given, transfers, *_ in STATES.values()]
    assert {one.state for one in stories} | {PayState.LATE} == set(PayState)
    assert {note for one in stories for note in one.notes} == set(Note)


def test_overdue_is_said_whatever_else_is() -> None:
    after = NOW + timedelta(days=15)
    waiting = live(invoice(), [], 1, after)
    assert (waiting.state, waiting.overdue, waiting.notes) == (PayState.LATE, True, (Note.LATE,))
    part = live(invoice(remaining=15_000), [paid(5_000)], 1, after)
    assert (part.state, part.notes) == (PayState.PART_PAID, (Note.LATE,))
    assert "was due on 15 November 2026" in tell(ENGLISH, invoice(remaining=15_000), part, Voided(), "Issuer").detail


def test_the_amounts_always_add_up() -> None:
    for name, (given, transfers, *_) in STATES.items():
        now = live(given, transfers, 1, NOW)
        if now.state is not PayState.VOID:
            assert now.paid + now.waived + now.remaining == now.due, name


def test_a_void_invoice_names_what_took_it_back() -> None:
    void = invoice(InvoiceStatus.VOID)
    told = tell(ENGLISH, void, live(void, [], 1, NOW), Voided("INV-CN-000001", "wrong price"), "Issuer")
    assert told.headline == "Void: do not pay"
    assert told.detail == "This invoice was taken back by the credit note INV-CN-000001 (wrong price)."


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (transfer(confirmations=1), "1 of 12 confirmations"),
        (transfer(confirmations=40), "12 of 12 confirmations"),
        (transfer(status=CONFIRMED, confirmations=12), "Confirmed; it is being booked"),
        (transfer(chain_id=2, confirmations=5), "5 confirmations; counts once its chain marks the block as finalized"),
        (transfer(chain_id=3, confirmations=1), "1 confirmation; waits for its chain"),
    ],
)
def test_how_far_a_payment_is(one: Arrival, text: str) -> None:
    assert confirming(ENGLISH, one, CHAINS.get(one.chain_id)) == text


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (paid(20_000, status=FINAL), "200.00 USD paid; final"),
        (paid(20_000, credited=5_000, confirmations=3), "200.00 USD paid, 50.00 USD kept as credit; 3 confirmations"),
        (paid(0, credited=5_000, status=FINAL, late=True), "50.00 USD kept as credit; final, after the due date"),
        (paid(0, status=FINAL), "Too little to count; final"),
        (transfer(status=ORPHANED), "No longer part of its chain"),
        (transfer(accepted=False), "Does not count; a person decides what becomes of it"),
        (transfer(disposition=Disposition.RESOLVED, status=FINAL), "Dealt with by the issuer"),
    ],
)
def test_what_became_of_a_transfer(one: Arrival, text: str) -> None:
    assert tell_arrival(ENGLISH, one, USD, CHAINS) == text


def test_a_page_that_is_settled_need_not_ask_often() -> None:
    def settled(*transfers: Arrival, status: InvoiceStatus = InvoiceStatus.PAID) -> bool:
        return live(invoice(status), list(transfers), 1, NOW).settled

    assert settled(paid(20_000, status=FINAL)) and settled(status=InvoiceStatus.VOID)
    assert not settled(paid(20_000)), "a reorganisation may still take it back"
    assert not settled(status=InvoiceStatus.OPEN)
    assert not settled(transfer(accepted=False), status=InvoiceStatus.VOID)


def test_notes_are_sentences() -> None:
    everything = Live(PayState.PAID, tuple(Note), 1, 1, 0, 0, 0, 1, 1, False, ())
    found = tell_notes(ENGLISH, everything, invoice(), "Issuer")
    assert len(found) == len(set(Note) - {Note.NEEDS_PERSON})
    assert all(one[0].isupper() and one.endswith(".") for one in found)


def test_who_paid_with_a_token_that_nobody_could_value_is_not_asked_to_pay_again() -> None:
    held = live(invoice(), [transfer(status=CONFIRMED, disposition=SUSPENDED, kind="no_rate")], 1, NOW)
    assert not held.payable and "do not pay again" in tell(ENGLISH, invoice(), held, Voided(), "Test GPU").detail


def test_each_payment_is_told_the_rule_of_what_had_come_with_it() -> None:
    """In chain order, whatever the order of arrival; what the chain took back does not count."""
    gone = transfer(900_000_000, ORPHANED, block_number=1)
    parts = [
        transfer(60_000_000, block_number=9),
        transfer(60_000_000, log_index=3),
        transfer(400_000_000, block_number=12),
    ]
    elsewhere = transfer(60_000_000, chain_id=2)
    unknown = transfer(1, decimals=None, block_number=13)
    after = transfer(1, block_number=14)
    piled = pile([gone, *parts, elsewhere, unknown, after])
    assert [str(one.piled) for one in piled] == [
        "0",
        "120.000000",
        "60.000000",
        "520.000000",
        "60.000000",
        "Infinity",
        "Infinity",
    ]
    told = [confirming(ENGLISH, one, BANDED) for one in piled[1:4]]
    assert told == [
        "1 of 9 confirmations",
        "1 of 3 confirmations",
        "1 confirmation; counts once its chain marks the block as finalized",
    ]


def test_several_currencies_and_tokens_off_the_list_are_of_no_known_sum() -> None:
    euros = transfer(1, currency="EUR", block_number=8)
    assert [str(one.piled) for one in pile([transfer(), euros, transfer(block_number=9)])] == [
        "200.000000",
        "Infinity",
        "Infinity",
    ]
    assert [str(one.piled) for one in pile([transfer(1, currency="", block_number=8)])] == ["Infinity"]


def test_a_payer_whose_payment_is_held_reads_that_it_is_checked_and_no_more() -> None:
    now = live(invoice(), [transfer(status=CONFIRMED, disposition=Disposition.HELD)], 1, NOW)
    told = tell(ENGLISH, invoice(), now, Voided(), "Issuer")
    words = [told.headline, told.detail, *tell_notes(ENGLISH, now, invoice(), "Issuer")]
    words.append(tell_arrival(ENGLISH, now.arrivals[0], invoice().currency, {}))
    assert told.tone == "calm" and "being checked" in told.detail and len(words) == 3, "it is said once"
    assert not any(word in " ".join(words).lower() for word in ("sanction", "list", "held", "sender", "compliance"))


def test_how_long_a_transfer_still_takes_is_told_where_it_is_known() -> None:
    waiting = [left(ENGLISH, transfer(confirmations=seen), CHAINS[1]) for seen in (1, 6, 11, 12)]
    assert waiting == ["about 22 seconds to go", "about 12 seconds to go", "about 2 seconds to go", ""]
    assert left(ENGLISH, transfer(), CHAINS[2]) == "", "a chain that marks its blocks tells no time"
    assert left(ENGLISH, transfer(), None) == "" and left(ENGLISH, transfer(status=CONFIRMED), CHAINS[1]) == ""


def test_lines_that_are_not_on_the_page_are_counted() -> None:
    assert [more_lines(ENGLISH, count) for count in (0, 1, 12)] == [
        "",
        "1 more line is in the PDF and in the document.",
        "12 more lines are in the PDF and in the document.",
    ]

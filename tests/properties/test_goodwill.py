"""Credit notes in part: never more than there was, tax to the last cent, and no correction gives back a second time."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset
from billing.core.onchain import Hash32
from billing.core.period import Span
from billing.invoicing import postings
from billing.invoicing.goodwill import Creditable, Wish, take
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.postings import Noted
from billing.invoicing.tax import TaxAmount, tax_on
from billing.ledger.entry import Entry
from billing.reconciliation.matching import Allocation, Incoming, Owed, allocate
from billing.reconciliation.postings import allocation as allocation_entry

USD, NOW = Asset("USD", 2), datetime(2026, 11, 3, tzinfo=UTC)
amounts = st.lists(st.integers(-10_000, 50_000), min_size=1, max_size=6).filter(lambda lines: sum(lines) >= 0)
rates = st.decimals(0, 1, places=4)
wishes = st.lists(st.tuples(st.integers(1, 6) | st.none(), st.integers(1, 60_000) | st.none()), max_size=12)


def invoice(lines: list[int], rate: Decimal, taken: dict[int, int]) -> Creditable:
    return Creditable("INV-1", USD, lines, [TaxAmount("GST", rate, tax_on(sum(lines), rate))], taken)


@given(amounts, rates, wishes)
def test_credit_notes_never_exceed_a_line_the_invoice_or_its_tax(
    lines: list[int], rate: Decimal, asked: list[tuple[int | None, int | None]]
) -> None:
    taken: dict[int, int] = {}
    tax = 0
    for line, units in asked:
        before = sum(taken.values())
        try:
            one = take(invoice(lines, rate, taken), Wish(line, units))
        except (Conflict, NotFound):
            continue
        assert one.net == sum(one.lines.values()) > 0 and one.total == one.net + sum(t.units for t in one.taxes)
        assert units is None or one.net == units
        assert line is None or list(one.lines) == [line]
        tax += sum(t.units for t in one.taxes)
        for position, share in one.lines.items():
            taken[position] = taken.get(position, 0) + share
        assert all(taken[position] <= lines[position - 1] for position in taken)
        left = sum(lines) - before - one.net
        assert left >= 0
        assert tax_on(sum(lines), rate) - tax == tax_on(left, rate), "what remains is taxed like an invoice over it"


@given(amounts.filter(lambda lines: sum(lines) > 0), rates)
def test_all_that_is_left_leaves_neither_lines_nor_tax(lines: list[int], rate: Decimal) -> None:
    one = take(invoice(lines, rate, {}), Wish())
    assert one.total == sum(lines) + tax_on(sum(lines), rate)
    with pytest.raises(Conflict, match=r"only 0\.00 USD before tax can still be credited on INV-1"):
        take(invoice(lines, rate, dict(one.lines)), Wish())


def test_a_wish_that_cannot_be_is_refused_by_name() -> None:
    one = invoice([1000, -200], Decimal("0.1"), {1: 300})
    with pytest.raises(NotFound, match="has no line 3; it has 2 lines"):
        take(one, Wish(3))
    with pytest.raises(Invalid, match="more than nothing"):
        take(one, Wish(1, 0))
    with pytest.raises(Conflict, match=r"only 5\.00 USD before tax can still be credited on line 1 of INV-1"):
        take(one, Wish(1, 700))
    assert take(one, Wish(1)).lines == {1: 500}, "the line below zero counts"
    with pytest.raises(Conflict, match=r"only 0\.00 USD before tax can still be credited on line 2"):
        take(one, Wish(2))


PAID_BY_CREDIT = st.integers(0, 24_000)
events = st.lists(st.tuples(st.sampled_from(["pay", "unpay", "credit"]), st.integers(1, 30_000)), max_size=10)


@given(amounts.filter(lambda lines: sum(lines) > 0), rates, PAID_BY_CREDIT, events)
def test_any_order_of_payments_and_credit_notes_leaves_balanced_books(
    lines: list[int], rate: Decimal, credit: int, story: list[tuple[str, int]]
) -> None:
    tax = tax_on(sum(lines), rate)
    total = sum(lines) + tax
    used = min(credit, total)
    one = issued(total, tax, used)
    books: Counter[str] = Counter(
        {"receivable": total - used, "revenue:h100": -sum(lines), "tax": -tax, "tenant_credit": used}
    )
    payments: dict[int, int] = {}
    before: list[Allocation] = []
    taken: dict[int, int] = {}
    back = 0
    for number, (what, units) in enumerate(story):
        if what == "credit":
            try:
                note = take(invoice(lines, rate, taken), Wish(None, units))
            except Conflict:
                continue
            taken |= {position: taken.get(position, 0) + share for position, share in note.lines.items()}
            after = replace(one, noted=one.noted + note.total)
            held_again = max(0, after.noted - one.amount_due) - max(0, one.noted - one.amount_due)
            kinds = {"overpayment": held_again} if held_again else {}
            taxed = sum(t.units for t in note.taxes)
            put(books, postings.credit_note(one, {"h100": note.net}, taxed, kinds, Noted("CN", NOW)))
            one, back = after, back + held_again
        elif what == "pay":
            payments[number] = units
        elif payments:
            payments.pop(list(payments)[units % len(payments)])
        incoming = [Incoming(n, (1, "0x"), 2, value, NOW) for n, value in payments.items()]
        allocated = allocate(Owed(one.claim, USD, 1, NOW), incoming)
        put(books, allocation_entry((1, 1, "INV-1", "USD"), before, allocated, NOW))
        before = allocated
        applied = sum(a.applied + a.written_off for a in allocated)
        assert books["receivable"] == one.claim - applied >= 0, (
            "what is asked for less what was paid, and never below zero"
        )
        assert books["tenant_credit"] == used - back - sum(a.credited for a in allocated)
        assert back <= used and one.noted <= total
        assert sum(books.values()) == 0
        left = sum(lines) - sum(taken.values())
        assert (books["revenue:h100"], books["tax"]) == (-left, -tax_on(left, rate))


def put(books: "Counter[str]", entry: Entry | None) -> None:
    """Entries check themselves that they balance."""
    for posting in entry.postings if entry else ():
        books[posting.account] += posting.units


def issued(total: int, tax: int, used: int) -> Invoice:
    return Invoice(
        1, "INV-1", "acme", 1, "Acme", InvoiceStatus.OPEN, USD, Span(NOW, NOW + timedelta(days=1)), total, used, total - used,
        0, NOW, NOW, Hash32("0x"), None, "", None, tax,
    )  # fmt: skip

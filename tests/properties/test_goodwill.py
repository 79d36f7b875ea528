"""Credit notes in part: never more than there was, tax to the last cent, and no correction gives back a second time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset
from billing.invoicing.goodwill import Creditable, Wish, take
from billing.invoicing.tax import TaxAmount, tax_on

USD = Asset("USD", 2)
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

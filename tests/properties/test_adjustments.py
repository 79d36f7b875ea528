"""Adjustments: whatever is learnt late, in whatever order, the invoices add up to the truth rated once."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset
from billing.core.period import Span, month
from billing.invoicing.draft import Draft, DraftLine, adjusted, adjustments, drafts
from billing.pricing.rating import (
    NO_EVIDENCE,
    Charged,
    LineKey,
    Metered,
    Quantity,
    RatedLine,
    Share,
    part_of,
    rate,
)
from billing.pricing.tariff import Tariff, price_of
from billing.tenants.tenant import Attribution, Tenant

USD = Asset("USD", 2)
MONTHS = [month(2026, number) for number in range(1, 6)]
RATES = {"a": Decimal("2.49"), "b": Decimal("0.333333")}
ACME = Tenant("acme", "Acme", Attribution.OBSERVED, id=1)

Truth = dict[tuple[int, str], int]
"""{(device, sku): seconds} of a month."""

truths: st.SearchStrategy[Truth] = st.dictionaries(
    st.tuples(st.integers(1, 3), st.sampled_from(sorted(RATES))), st.integers(0, 2_678_400), max_size=4
)


def quantities(truth: Truth, period: Span) -> list[Quantity]:
    return [
        Quantity(1, device, sku, RATES[sku], period, seconds) for (device, sku), seconds in truth.items() if seconds
    ]


class Books:
    """What was charged so far, by month and line."""

    def __init__(self) -> None:
        self.charged: dict[Span, dict[LineKey, Charged]] = {}
        self.totals: list[int] = []

    def lacking(self, truth: Truth, period: Span) -> list[RatedLine]:
        return rate(quantities(truth, period), self.charged.get(period, {}), USD)

    def drafted(self, lines: list[RatedLine], period: Span) -> list[Draft]:
        found = drafts([(line, NO_EVIDENCE) for line in lines], {1: ACME}, {}, period, USD)
        assert [line.rated for draft in found for line in draft.lines] == lines
        return found

    def invoice(self, truths: list[Truth], number: int) -> Draft:
        """Invoice a month, with what the months before lack."""
        base = self.drafted(self.lacking(truths[number], MONTHS[number]), MONTHS[number])
        earlier = [d for i in range(number) for d in self.drafted(self.lacking(truths[i], MONTHS[i]), MONTHS[i])]
        draft = base[0] if base else Draft(ACME, MONTHS[number], USD, ())
        draft = adjusted(draft, adjustments(earlier).get("acme", ()))
        for line in draft.lines:
            self._charge(line)
        self.totals.append(draft.total.units)
        return draft

    def _charge(self, line: DraftLine) -> None:
        rated = line.rated
        assert sum(share.amount for share in rated.shares) == rated.amount
        assert sum(share.seconds for share in rated.shares) == rated.seconds
        of_month = self.charged.setdefault(line.adjusts or rated.span, {})
        for share in rated.shares:
            of_month.setdefault(rated.key, Charged(rated.span)).add(share.device_id, share.seconds, share.amount)


@given(st.lists(st.lists(truths, min_size=5, max_size=5), min_size=5, max_size=5))
def test_what_was_charged_and_what_is_carried_is_the_truth_rated_once(seen: list[list[Truth]]) -> None:
    """`seen[n]` is what is known of all months when month n is invoiced."""
    books = Books()
    for number in range(5):
        draft = books.invoice(seen[number], number)
        assert draft.total.units >= 0, "an invoice is never negative"
        carried = sum(line.rated.amount for line in draft.carried)
        assert not carried or draft.total.units == 0, "what can be given back is given back at once"
        truth = sum(
            line.amount for i in range(number + 1) for line in rate(quantities(seen[number][i], MONTHS[i]), {}, USD)
        )
        assert sum(books.totals) + carried == truth


@given(st.lists(truths, min_size=5, max_size=5), st.lists(truths, min_size=5, max_size=5))
def test_once_there_is_enough_to_set_off_every_line_and_device_ends_where_one_rating_would(
    before: list[Truth], after: list[Truth]
) -> None:
    books = Books()
    for number in range(4):
        books.invoice(before, number)
    after = [*after[:4], {(9, "a"): 10**12}]
    draft = books.invoice(after, 4)
    assert not draft.carried
    for number, period in enumerate(MONTHS):
        once = {line.key: line for line in rate(quantities(after[number], period), {}, USD)}
        for key, charged in books.charged.get(period, {}).items():
            wanted = once.get(key)
            assert charged.seconds == (wanted.seconds if wanted else 0)
            assert (
                charged.amount
                == (wanted.amount if wanted else 0)
                == price_of(Tariff.flat(key.unit_price), Decimal(charged.seconds), key.unit_price, USD)
            )
        assert books.lacking(after[number], period) == [], "and nothing is left to adjust"


@given(truths, truths)
def test_the_same_truth_again_is_nothing_more(truth: Truth, other: Truth) -> None:
    books = Books()
    books.invoice([truth] * 5, 0)
    assert books.lacking(truth, MONTHS[0]) == []
    first = books.invoice([truth, other, {}, {}, {}], 1)
    assert all(line.adjusts is None for line in first.lines)


@given(truths.filter(lambda truth: sum(truth.values()) > 0), truths, st.data())
def test_a_part_of_a_line_and_its_rest_are_the_line(truth: Truth, other: Truth, data: st.DataObject) -> None:
    books = Books()
    books.invoice([truth] * 5, 0)
    for line in books.lacking(other, MONTHS[0]):
        if line.amount:
            amount = data.draw(st.integers(0, abs(line.amount))) * (1 if line.amount > 0 else -1)
            one = part_of(line, amount)
            assert one.amount == amount and abs(one.seconds) <= abs(line.seconds)
            assert sum(s.amount for s in one.shares) == amount and sum(s.seconds for s in one.shares) == one.seconds


@given(st.decimals(0, 10**30, places=18), st.integers(1, 10**12), st.data())
def test_a_part_of_a_quantity_is_exact_and_never_more_than_its_share(
    quantity: Decimal, amount: int, data: st.DataObject
) -> None:
    units = data.draw(st.integers(0, amount))
    line = RatedLine(
        LineKey(1, "tokens", "2026-01-01", Decimal("0.3")), MONTHS[0], 0, -amount, [Share(None, 0, -amount)],
        Metered("tokens", "sum", "token", 1, quantity.copy_negate(), 3),
    )  # fmt: skip
    found = part_of(line, -units)
    assert found.metered is not None and found.amount == sum(share.amount for share in found.shares) == -units
    share = Fraction(quantity) * units / amount
    assert 0 <= share + Fraction(found.metered.quantity) < Fraction(1, 10**18)

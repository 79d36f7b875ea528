"""Values at recorded rates: nothing is lost, nothing is made, and the order of arrival does not matter."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset, ceil_div
from billing.reconciliation import postings
from billing.reconciliation.matching import Incoming, Owed, allocate
from billing.reconciliation.valuation import units_due, value_at, value_at_par
from tests.factories import at

USD = Asset("USD", 2)
USDC = (8453, "0xusdc")
DUE = at(0, day=15)
rates = st.one_of(
    st.just(Decimal(1)),
    st.integers(1, 2 * 10**8).map(lambda answer: Decimal((0, tuple(map(int, str(answer))), -8))),
)
incoming = st.builds(
    lambda number, units, rate: Incoming(number, USDC, 6, units, DUE, 0, rate),
    st.integers(1, 10**9), st.integers(1, 300_000_000), rates,
)  # fmt: skip
several = st.lists(incoming, min_size=1, max_size=8, unique_by=lambda one: one.payment_id)
owed = st.builds(Owed, st.integers(1, 30_000), st.just(USD), st.integers(0, 5), st.just(DUE))


@given(owed, several)
def test_every_value_and_its_difference_from_par_goes_somewhere(invoice: Owed, payments: list[Incoming]) -> None:
    found = allocate(invoice, payments)
    groups = {one.rate: sum(p.units for p in payments if p.rate == one.rate) for one in payments}
    worth = sum(value_at(rate, units, 6, USD) for rate, units in groups.items())
    par = sum(value_at_par(units, 6, USD) for units in groups.values())
    assert sum(one.value for one in found) == worth and sum(one.fx for one in found) == par - worth
    assert all(one.value == one.applied + one.credited and one.applied >= 0 <= one.credited for one in found)
    assert sum(one.applied for one in found) == min(worth, invoice.amount_due)


@given(owed, several, several)
def test_whatever_stood_before_the_ledger_ends_where_the_standing_payments_put_it(
    invoice: Owed, before: list[Incoming], after: list[Incoming]
) -> None:
    """One step from nothing to the end, or by way of any other set: the postings sum to the same."""
    paths = ([allocate(invoice, before), allocate(invoice, after)], [allocate(invoice, after)])
    ends = []
    for path in paths:
        booked: dict[str, int] = {}
        state = allocate(invoice, [])
        for step in path:
            entry = postings.allocation((1, 1, "INV-000001", "USD"), state, step, DUE)
            for posting in entry.postings if entry else ():
                booked[posting.account] = booked.get(posting.account, 0) + posting.units
            state = step
        ends.append({account: units for account, units in booked.items() if units})
    assert ends[0] == ends[1] and sum(ends[0].values()) == 0


@given(st.integers(1, 10**9), rates, several, owed)
def test_enough_units_at_a_rate_settle_whatever_came_before(
    due: int, rate: Decimal, before: list[Incoming], invoice: Owed
) -> None:
    """Units rounded up always cover the amount: no dust stays open, also after other payments at that rate."""
    over, under = rate.as_integer_ratio()
    units = ceil_div(due * 10**6 * under, 10**2 * over)
    assert value_at(rate, units, 6, USD) >= due
    paid = sum(one.applied for one in allocate(invoice, before))
    rest = invoice.amount_due - paid
    if rest:
        last = Incoming(10**10, USDC, 6, ceil_div(rest * 10**6 * under, 10**2 * over), DUE, 0, rate)
        assert sum(one.applied for one in allocate(invoice, [*before, last])) == invoice.amount_due
    assert value_at_par(units_due(due, USD, 6), 6, USD) == due

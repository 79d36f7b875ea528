"""Values at recorded rates: nothing is lost, nothing is made, and the order of arrival does not matter."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset
from billing.invoicing.document import ByFeed, ParWithin
from billing.quotes.feed import NoRate, Rate
from billing.reconciliation import postings
from billing.reconciliation.matching import Incoming, Owed, allocate
from billing.reconciliation.valuation import best, promised, units_at, units_due, value_at, value_at_par
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
    foreign = allocate(invoice, [replace(one, has_par=False) for one in payments])
    assert [replace(one, fx=0) for one in found] == foreign, "a token of another currency has no par to differ from"
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
    units = units_at(rate, due, USD, 6)
    assert value_at(rate, units, 6, USD) >= due
    paid = sum(one.applied for one in allocate(invoice, before))
    rest = invoice.amount_due - paid
    if rest:
        last = Incoming(10**10, USDC, 6, units_at(rate, rest, USD, 6), DUE, 0, rate)
        assert sum(one.applied for one in allocate(invoice, [*before, last])) == invoice.amount_due
    assert value_at_par(units_due(due, USD, 6), 6, USD) == due


FEED: dict[str, Any] = {"feed": "0x" + "12" * 20, "feed_decimals": 8, "feed_staleness_seconds": 60}
quoted = st.lists(rates.map(lambda value: Rate(value, "quoted", DUE)), max_size=4)
told = st.one_of(st.just(NoRate("silent")), rates.map(lambda value: Rate(value, "block", DUE)))


@given(told, quoted)
def test_nobody_gets_less_than_was_promised_and_nothing_is_made_up(found: Rate | NoRate, held: list[Rate]) -> None:
    rule = ByFeed(kind="feed", prices="token", **FEED)
    known = [one.value for one in (*held, found) if isinstance(one, Rate)]
    rate = best(rule, found, held)
    assert rate == found if not known else isinstance(rate, Rate) and rate.value == max(known)


@given(told, quoted)
def test_a_limit_around_par_ends_par_at_once_and_promises_only_what_is_beyond(
    found: Rate | NoRate, held: list[Rate]
) -> None:
    rule = ParWithin(kind="par", limit="0.01", **FEED)
    beyond = [one.value for one in held if abs(one.value - 1) > Decimal("0.01")]
    assert [one.value for one in held if promised(rule, one)] == beyond
    rate = best(rule, found, held)
    if isinstance(found, Rate):
        at_block = Decimal(1) if abs(found.value - 1) <= Decimal("0.01") else found.value
        beyond.append(at_block)
    assert rate == found if not beyond else isinstance(rate, Rate) and rate.value == max(beyond)

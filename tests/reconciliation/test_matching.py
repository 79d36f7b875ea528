"""What the transfers to an address pay: a pure function, so everything about it can be tried."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import Asset
from billing.reconciliation.matching import Allocation, Incoming, MatchKind, Owed, allocate
from billing.reconciliation.valuation import units_due, value_at_par
from tests.factories import at

USD = Asset("USD", 2)
USDC = (8453, "0xusdc")
USDT = (1, "0xusdt")
DUE = at(0, day=15)

incoming = st.builds(
    lambda number, token, units, late: Incoming(
        number,
        token,
        6 if token == USDC else 18,
        units if token == USDC else units * 10**12,
        DUE + timedelta(hours=late),
    ),
    st.integers(1, 10**9),
    st.sampled_from([USDC, USDT]),
    st.integers(1, 300_000_000),
    st.integers(-5, 5),
)
owed = st.builds(Owed, st.integers(1, 30_000), st.just(USD), st.integers(0, 5), st.just(DUE))


@given(owed, st.lists(incoming, max_size=8, unique_by=lambda one: one.payment_id))
def test_every_cent_goes_somewhere_and_none_twice(invoice: Owed, payments: list[Incoming]) -> None:
    found = allocate(invoice, payments)
    worth = sum(
        value_at_par(sum(p.units for p in payments if p.token == token), decimals, USD)
        for token, decimals in ((USDC, 6), (USDT, 18))
    )
    assert sum(a.value for a in found) == worth, "parts are worth what the whole is"
    assert all(a.value == a.applied + a.credited and a.applied >= 0 and a.credited >= 0 for a in found)
    applied, written_off = sum(a.applied for a in found), sum(a.written_off for a in found)
    assert applied == min(worth, invoice.amount_due)
    rest = invoice.amount_due - applied
    assert written_off == (rest if 0 < rest <= invoice.tolerance and applied else 0)


@given(owed, st.lists(incoming, min_size=1, max_size=6, unique_by=lambda one: one.payment_id), st.data())
def test_what_is_owed_in_the_end_depends_on_which_payments_stand_not_on_their_history(
    invoice: Owed, payments: list[Incoming], data: st.DataObject
) -> None:
    """Add and remove payments in any order; the allocation is a function of the set in chain order."""
    standing: list[Incoming] = []
    for _ in range(data.draw(st.integers(1, 10))):
        one = data.draw(st.sampled_from(payments))
        if one in standing:
            standing.remove(one)
        else:
            standing.append(one)
        standing.sort(key=payments.index)
    assert allocate(invoice, standing) == allocate(invoice, [p for p in payments if p in standing])


@given(st.integers(1, 10**12), st.integers(0, 36))
def test_paying_what_is_asked_for_is_always_enough_and_never_a_cent_too_much(amount: int, decimals: int) -> None:
    units = units_due(amount, USD, decimals)
    value = value_at_par(units, decimals, USD)
    assert amount <= value
    if decimals >= 2:
        assert value == amount and value_at_par(units - 1, decimals, USD) < amount


def one(units: int, number: int = 1, used: int = 0) -> Incoming:
    return Incoming(number, USDC, 6, units, DUE, used)


def kinds(invoice: Owed, *payments: Incoming) -> list[tuple[MatchKind, int, int, int]]:
    return [(a.kind, a.applied, a.credited, a.written_off) for a in allocate(invoice, payments)]


def test_the_words_for_what_happened() -> None:
    invoice = Owed(20_000, USD, 1, DUE)
    assert kinds(invoice, one(200_000_000)) == [(MatchKind.EXACT, 20_000, 0, 0)]
    assert kinds(invoice, one(199_990_000)) == [(MatchKind.TOLERATED, 19_999, 0, 1)]
    assert kinds(invoice, one(199_980_000)) == [(MatchKind.PARTIAL, 19_998, 0, 0)]
    assert kinds(invoice, one(200_010_000)) == [(MatchKind.OVER, 20_000, 1, 0)]
    assert kinds(invoice, one(200_000_000), one(5_000_000, 2)) == [
        (MatchKind.EXACT, 20_000, 0, 0),
        (MatchKind.DUPLICATE, 0, 500, 0),
    ]
    assert kinds(invoice, one(9_999)) == [(MatchKind.DUST, 0, 0, 0)]


def test_an_invoice_within_the_tolerance_is_not_written_off_unpaid() -> None:
    assert allocate(Owed(1, USD, 5, DUE), []) == []
    assert kinds(Owed(1, USD, 5, DUE), one(9_999)) == [(MatchKind.DUST, 0, 0, 0)]


def test_credit_that_was_used_up_is_not_taken_back() -> None:
    """A payment's excess paid another invoice; an earlier payment is gone now. What was used stays used."""
    assert kinds(Owed(20_000, USD, 1, DUE), one(200_000_000, used=5_000)) == [(MatchKind.EXACT, 15_000, 5_000, 0)]


def test_allocations_are_values() -> None:
    assert Allocation(1, MatchKind.EXACT, False, 1, 1, 0, 0) == Allocation(1, MatchKind.EXACT, False, 1, 1, 0, 0)

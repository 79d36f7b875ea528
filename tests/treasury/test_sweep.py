"""Whether a deposit is worth its gas: exact, at any price and any decimals."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.core.onchain import Address, Hash32
from billing.treasury.sweep import Deposit, Prices, worth

OWNER, TOKEN, SALT = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20), Hash32("0x" + "01" * 32)


@given(
    units=st.integers(0, 10**40),
    decimals=st.integers(0, 36),
    gas_price=st.integers(0, 10**15),
    cents=st.integers(1, 10**12),
    deployed=st.booleans(),
)
def test_a_deposit_pays_when_it_is_worth_more_than_its_gas(
    units: int, decimals: int, gas_price: int, cents: int, deployed: bool
) -> None:
    deposit = Deposit(OWNER, TOKEN, units, SALT, deployed=deployed)
    price = Decimal(cents).scaleb(-2)
    value = Fraction(units, 10**decimals)
    cost = Fraction(deposit.gas * gas_price, 10**18) * Fraction(cents, 100)
    assert Prices(gas_price, price).pays(deposit, decimals) == (value > cost)


@given(amounts=st.lists(st.integers(0, 100)), minimum=st.integers(0, 50))
def test_every_deposit_that_holds_something_is_on_one_side(amounts: list[int], minimum: int) -> None:
    deposits = [Deposit(OWNER, TOKEN, units, SALT) for units in amounts]
    enough, small = worth(deposits, minimum)
    assert sorted(one.units for one in [*enough, *small]) == sorted(units for units in amounts if units)
    assert all(one.units >= minimum for one in enough) and all(one.units < minimum for one in small)

"""Money is brought to the treasury by plans that an unlocked account sends as they stand; the books follow the chain."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from billing.chain.tokens import Listing
from billing.core.errors import Conflict, NotFound
from billing.core.onchain import ZERO_ADDRESS, Address, to_hash
from billing.reconciliation.resolver import Credited, Resolution
from billing.treasury.planner import SweepPlan, Wish
from billing.treasury.safe import Checked, safe_file, verify, wallets_of
from billing.wallets.forwarder import Treasury, deployment
from billing.wallets.wallet import ForwarderWallet
from tests.journeys.test_restore import XPUB
from tests.world import World, issued, usd, world

NOBODY = Address("0x" + "0" * 40)
FIRST_EVER = 17_100
"""What a treasury's first token costs once: its balance is written where there was none."""


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def plan(made: World, minimum: int = 1, **wish: object) -> SweepPlan:
    watcher = made.app.watchers[31337]
    least = {token.address: minimum for token in watcher.chain.tokens if token.listing is Listing.ACCEPT}
    return made.app.planner.plan(watcher, Wish(least, **wish))  # type: ignore[arg-type]


def send(made: World, found: SweepPlan) -> None:
    for one in found.batches:
        made.node.send(one.to, one.data)
    made.settle()


def paid(made: World, *amounts: str, token: Address | None = None) -> list[str]:
    """Invoices of several tenants, each paid so much; final."""
    invoices = issued(made, *(f"tenant-{number}" for number in range(len(amounts))))
    for invoice, amount in zip(invoices, amounts, strict=True):
        assert invoice.address is not None
        made.node.transfer(token or made.usdc, invoice.address, usd(amount))
    made.settle()
    return [invoice.address or "" for invoice in invoices]


def test_a_plan_is_sent_as_it_stands_and_the_treasury_has_the_money(made: World) -> None:
    addresses = paid(made, "200.00", "150.00", "0.50")
    found = plan(made, usd("1"))
    (batch,) = found.batches
    assert [one.address for one in batch.deposits] == addresses[:2] and batch.units == usd("350.00")
    assert [one.address for one in found.small] == addresses[2:]
    assert not found.suspended and not found.different and not found.by_hand
    assert found.cost == batch.gas * found.gas_price > 0
    wallet = made.app.wallet
    assert isinstance(wallet, ForwarderWallet)
    file = safe_file(31337, found.batches, "Sweep", made.clock.now())
    _, (checked,) = verify(file, wallets_of([wallet.pin()], [wallet.treasury], []))
    assert isinstance(checked, Checked) and checked.addresses == addresses[:2]
    receipt = made.node.send(batch.to, batch.data)
    more = int(receipt["gasUsed"], 16) - batch.gas
    assert abs(more - FIRST_EVER) < 1_000, "the figures are the measured ones"
    assert plan(made, usd("1")).batches == [], "somebody sent it: the chain says so before anything is final"
    made.settle()
    assert made.balance("treasury:31337:USDC", "31337:USDC") == usd("350.00")
    assert made.balance("deposit:31337:USDC", "31337:USDC") == usd("0.50")
    assert made.findings() == [] and plan(made, usd("1")).batches == []


def test_two_tokens_are_two_transactions_and_batches_have_a_limit(made: World) -> None:
    addresses = paid(made, "100.00", "100.00", "100.00")
    made.node.transfer(made.usdt, addresses[0], usd("7"))
    made.settle()
    found = plan(made, salts_max=2)
    assert [(one.token, len(one.deposits)) for one in found.batches] == [(made.usdc, 2), (made.usdc, 1), (made.usdt, 1)]
    send(made, found)
    assert made.node.balance(made.usdt, made.treasury) == usd("7")
    assert made.node.balance(made.usdc, made.treasury) == usd("300")
    again = plan(made)
    assert not again.batches and made.findings() == []


def test_an_address_that_was_flushed_costs_less_the_next_time(made: World) -> None:
    (address,) = paid(made, "10.00")
    first = plan(made)
    send(made, first)
    made.node.transfer(made.usdc, address, usd("5.00"))
    made.settle()
    second = plan(made)
    assert second.batches[0].deposits[0].deployed and second.gas < first.gas
    send(made, second)
    assert made.node.balance(made.usdc, made.treasury) == usd("15.00") and made.findings() == []


def test_money_that_is_not_final_yet_is_told_apart(made: World) -> None:
    addresses = paid(made, "200.00", "200.00")
    made.node.transfer(made.usdc, addresses[0], usd("9"))
    made.node.mine(2)
    made.follow()
    found = plan(made)
    assert found.different == {(addresses[0], made.usdc): (usd("200"), usd("209"))}, (
        "what is there is said, and flushed"
    )
    assert {one.units for one in found.batches[0].deposits} == {usd("209"), usd("200")}


def test_what_came_after_a_void_waits_for_a_person_and_is_left_out(made: World) -> None:
    (invoice,) = issued(made, "acme")
    made.app.issuer.void(invoice.number, reason="wrong", actor="test")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle()
    found = plan(made)
    assert [one.address for one in found.suspended] == [invoice.address] and not found.batches
    (batch,) = plan(made, with_suspense=True).batches
    assert [one.invoice for one in batch.deposits] == [invoice.number]


def test_money_that_waits_for_a_person_keeps_its_address_out_before_it_is_final(made: World) -> None:
    (invoice,) = issued(made, "acme")
    made.app.issuer.void(invoice.number, reason="wrong", actor="test")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("1.00"))
    made.settle()
    made.app.resolver.resolve(1, Resolution.CREDIT, reason="theirs", actor="test", credited=Credited("acme"))
    assert plan(made).batches
    made.node.transfer(made.usdc, invoice.address, usd("5.00"))
    made.node.mine(2)
    made.follow()
    assert not plan(made).batches and [one.address for one in plan(made).suspended] == [invoice.address]


def moved_to(made: World, **wallet: Address) -> ForwarderWallet:
    """The same site with another treasury or flusher, whose factory is deployed and accepted."""
    treasury, flusher = wallet.get("treasury", made.treasury), wallet.get("flusher", NOBODY)
    made.node.send(*deployment(Treasury(treasury, flusher, is_contract=False)))
    made.settings = made.settings.model_copy(update={"wallet": made.settings.wallet.model_copy(update=wallet)})
    made.again()
    made.app.check_chain(31337)
    found = made.app.wallet
    assert isinstance(found, ForwarderWallet)
    return found


def test_where_one_account_alone_may_flush_the_plan_names_it(made: World) -> None:
    """The compliance profile: what others send is refused, and nothing moves."""
    flusher = Address(made.node.accounts[7])
    wallet = moved_to(made, flusher=flusher)
    paid(made, "200.00")
    (batch,) = plan(made).batches
    assert (batch.to, batch.wallet.flusher) == (wallet.factory, flusher)
    with pytest.raises(Conflict, match="revert"):
        made.node.call(batch.to, batch.data)
    made.node.send(batch.to, batch.data, sender=7)
    made.settle()
    assert made.node.balance(made.usdc, made.treasury) == usd("200.00") and made.findings() == []


def test_addresses_of_an_extended_key_are_listed_for_who_holds_it(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path, xpub=XPUB) as made:
        (address,) = paid(made, "200.00")
        found = plan(made)
        assert not found.batches and found.gas == 0
        assert [(one.address, one.hd_index, one.units) for one in found.by_hand] == [(address, 0, usd("200.00"))]


def test_addresses_of_an_earlier_treasury_are_swept_through_their_own_factory(made: World) -> None:
    """The treasury is changed after the first invoice. Both stay watched; each goes where its document says."""
    (old,) = paid(made, "200.00")
    first = made.app.wallet
    assert isinstance(first, ForwarderWallet)
    treasury = Address(made.node.accounts[8])
    second = moved_to(made, treasury=treasury)
    assert second.pin() != first.pin()
    made.node.transfer(made.usdc, old, usd("1.00"))
    made.settle()
    (batch,) = plan(made).batches
    assert (batch.to, batch.wallet.treasury) == (first.factory, made.treasury)
    assert plan(made, pins=frozenset([second.pin()])).batches == []
    with pytest.raises(NotFound, match="no wallet has that pin"):
        plan(made, pins=frozenset([to_hash(b"\1" * 32)]))
    send(made, plan(made, pins=frozenset([first.pin()])))
    assert made.node.balance(made.usdc, made.treasury) == usd("201.00")
    assert made.node.balance(made.usdc, treasury) == 0 and made.findings() == []


def test_native_coin_is_swept_as_the_plan_says(made: World) -> None:
    """Nobody listens to coin: every address is asked, and one transaction empties those that hold some."""
    addresses = paid(made, "10.00", "20.00", "30.00")
    for address, value in zip(addresses, (3 * 10**17, 0, 2 * 10**17), strict=True):
        if value:
            made.node.send(address, value=value)
    found = plan(made, coin=True)
    coins = [one for one in found.batches if one.token == ZERO_ADDRESS]
    assert [[one.units for one in batch.deposits] for batch in coins] == [[3 * 10**17, 2 * 10**17]]
    assert not found.different and len(found.estimates) == 2
    wallet = coins[0].wallet
    file = safe_file(31337, coins, "Coins", made.clock.now())
    _, (checked,) = verify(file, wallets_of([wallet.pin()], [wallet.treasury], []))
    assert isinstance(checked, Checked)
    assert (checked.token, checked.addresses) == (ZERO_ADDRESS, [addresses[0], addresses[2]])
    (before,) = made.node.coins([made.treasury], head(made))
    made.node.send(coins[0].to, coins[0].data)
    (after,) = made.node.coins([made.treasury], head(made))
    assert after - before == 5 * 10**17
    made.settle()
    assert made.findings() == []


def head(made: World) -> int:
    block = made.node.block("latest")
    assert block is not None
    return block.number


def test_coin_that_is_worth_less_than_its_own_gas_is_left_out_without_any_price(made: World) -> None:
    """Anybody may send a wei to every address; a plan does not pay for that."""
    addresses = paid(made, "10.00", "20.00")
    made.node.send(addresses[0], value=3 * 10**17)
    made.node.send(addresses[1], value=2)
    found = plan(made, coin=True)
    (coins,) = [one for one in found.batches if one.token == ZERO_ADDRESS]
    assert [one.address for one in coins.deposits] == addresses[:1]
    assert [(one.address, one.token) for one in found.dear] == [(addresses[1], ZERO_ADDRESS)]


def test_a_transaction_that_is_not_worth_its_gas_as_a_whole_is_left_out(made: World) -> None:
    """Each address pays for itself, and they do not pay for the transaction that all of them need."""
    (address,) = paid(made, "0.20")
    made.node.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
    made.node.mine(1)
    price = plan(made).gas_price
    cents = Decimal(20 * 10**16) / (price * 65_000)  # worth 65,000 gas: more than the address needs, less than both
    found = plan(made, coin_price=cents.quantize(Decimal("0.01")))
    assert not found.batches and [one.address for one in found.dear] == [address]


def test_a_token_that_does_not_tell_a_balance_is_no_empty_address(made: World) -> None:
    (address,) = paid(made, "200.00")
    made.node.request("anvil_setCode", [made.usdc, "0x60006000fd"])
    found = plan(made)
    assert found.unread == [(address, made.usdc)] and not found.different and not found.batches


def test_what_costs_more_gas_than_it_is_worth_is_left_out(made: World) -> None:
    addresses = paid(made, "200.00", "0.10")
    made.node.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
    made.node.mine(1)
    found = plan(made, coin_price=Decimal(3_000))
    assert 10**8 < found.gas_price < 10**11
    assert [one.address for one in found.dear] == addresses[1:]
    assert [[one.address for one in batch.deposits] for batch in found.batches] == [addresses[:1]]
    assert plan(made).dear == [], "without a price everything is worth it"


def test_a_node_estimates_each_transaction(made: World) -> None:
    paid(made, "200.00", "150.00")
    (estimate,) = plan(made).estimates
    (batch,) = plan(made).batches
    used = int(made.node.send(batch.to, batch.data)["gasUsed"], 16)
    assert estimate is not None and used <= estimate <= batch.gas_limit == batch.limit(estimate)


def test_a_token_that_needs_more_gas_than_the_table_says_gets_a_limit_that_does(made: World) -> None:
    """Many tokens stand behind a proxy, and look at lists before they move."""
    paid(made, *["10.00"] * 4)
    behind_proxies(made, made.usdc, 60)
    found = plan(made)
    (batch,), (estimate,) = found.batches, found.estimates
    assert estimate is not None and estimate > batch.gas_limit
    flush = {"from": made.treasury, "to": batch.to, "data": "0x" + batch.data.hex()}
    with pytest.raises(Conflict, match="revert"):
        made.node.request("eth_call", [flush | {"gas": hex(batch.gas_limit)}, "latest"])
    made.node.request("eth_call", [flush | {"gas": hex(found.limits[0])}, "latest"])


def behind_proxies(made: World, token: Address, depth: int) -> None:
    """The same token with the same balances, whose code is so many proxies further away."""
    code = "0x" + made.node.code(token).hex()
    for number in range(depth):
        at = f"0x{0xABCD0000 + number:040x}"
        made.node.request("anvil_setCode", [at, code])
        code = f"0x363d3d373d3d3d363d73{at[2:]}5af43d82803e903d91602b57fd5bf3"
    made.node.request("anvil_setCode", [token, code])

"""Two chains, and a treasury that is changed: every address stays watched, each is emptied where its document says, and the
treasuries' own movements are booked on both chains."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.chain.store.held import held
from billing.core.onchain import Address, parse_address
from billing.invoicing import document as documents
from billing.invoicing import store as invoicing
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.settings import TokenSettings
from billing.treasury.planner import Wish
from billing.wallets.forwarder import Treasury, deployment
from tests.journeys.test_sweeps import moved_to
from tests.parts import anvil
from tests.world import PERIOD, Node, World, issued, metered, usd, world

SECOND = 31338
ANYONE = Address("0x" + "0" * 40)


@dataclass
class Both:
    """The world, and another chain beside it with a dollar of its own."""

    made: World
    node: Node
    usdc: Address

    def settle(self) -> None:
        self.node.mine(40)
        self.made.settle(40)

    def sweep(self, chain_id: int) -> int:
        """Send the whole plan of a chain; how many transactions it has."""
        watcher = self.made.app.watchers[chain_id]
        found = self.made.app.planner.plan(watcher, Wish({token.address: 1 for token in watcher.chain.tokens}))
        for one in found.batches:
            (self.made.node if chain_id == 31337 else self.node).send(one.to, one.data)
        return len(found.batches)

    def booked(self, account: str, chain_id: int) -> int:
        return self.made.balance(f"{account}:{chain_id}:USDC", f"{chain_id}:USDC")


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Both]:
    with world(database_url, tmp_path) as made:
        start = str(int(made.clock.now().timestamp()) - 5000)
        with anvil("--chain-id", str(SECOND), "--timestamp", start) as url:
            node = Node(url)
            usdc = node.deploy("TestUSD", "USD Coin", "USDC", 6)
            for account in (0, 1):
                node.mint(usdc, node.accounts[account], 10**15)
            node.send(*deployment(Treasury(made.treasury, ANYONE, is_contract=False)))
            (first,) = made.settings.chains
            token = TokenSettings(symbol="USDC", address=usdc, decimals=6)
            second = first.model_copy(
                update={"chain_id": SECOND, "name": "second", "rpc_urls": [url], "tokens": [token]}
            )
            made.settings = made.settings.model_copy(update={"chains": [first, second]})
            made.again()
            yield Both(made, node, usdc)
            node.close()


def offered(made: World, invoice: Invoice) -> set[int]:
    with made.app.database.transaction() as session:
        document = documents.parse(invoicing.document(session, invoice.id))
    assert isinstance(document, InvoiceDocument)
    return {one.chain_id for one in document.settlement}


def test_an_invoice_is_paid_on_two_chains_and_both_treasuries_are_booked(both: Both) -> None:
    made = both.made
    made.app.check_chain(SECOND)
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None and offered(made, invoice) == {31337, SECOND}
    made.node.transfer(made.usdc, invoice.address, usd("120.00"))
    both.node.transfer(both.usdc, invoice.address, usd("80.00"))
    both.settle()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.findings() == []
    assert both.sweep(31337) == both.sweep(SECOND) == 1
    both.settle()
    assert (both.booked("treasury", 31337), both.booked("treasury", SECOND)) == (usd("120.00"), usd("80.00"))
    made.node.transfer(made.usdc, made.treasury, usd("5.00"), sender=1)
    both.node.transfer(both.usdc, made.treasury, usd("7.00"), sender=1)
    both.node.transfer(both.usdc, both.node.accounts[3], usd("30.00"), sender=9)
    both.settle()
    assert (both.booked("treasury", 31337), both.booked("treasury", SECOND)) == (usd("125.00"), usd("57.00"))
    assert made.balance("external", "31337:USDC") == -usd("5.00")
    assert made.balance("external", f"{SECOND}:USDC") == usd("23.00")
    assert made.findings() == []


def test_both_generations_are_paid_on_both_chains_and_emptied_where_their_documents_say(both: Both) -> None:
    made = both.made
    made.app.check_chain(SECOND)
    metered(made, "acme", "beta")
    made.app.check_chain(31337)
    (old,) = made.app.issuer.run(PERIOD, "acme", actor="test")
    both.settle()
    treasury = parse_address(made.node.accounts[8])
    moved_to(made, treasury=treasury)
    both.node.send(*deployment(Treasury(treasury, ANYONE, is_contract=False)))
    made.app.check_chain(SECOND)
    (new,) = made.app.issuer.run(PERIOD, "beta", actor="test")
    assert old.address != new.address and offered(made, new) == {31337, SECOND}
    for invoice in (old, new):
        assert invoice.address is not None
        made.node.transfer(made.usdc, invoice.address, usd("150.00"))
        both.node.transfer(both.usdc, invoice.address, usd("50.00"))
    both.settle()
    assert {made.invoice(one.number).status for one in (old, new)} == {InvoiceStatus.PAID}
    with made.app.database.transaction() as session:
        lies = {(one.generation_id, one.chain_id): one.units for one in held(session) if not one.is_treasury}
    first, second = sorted({generation for generation, _ in lies})
    assert lies == {
        (first, 31337): usd("150.00"), (first, SECOND): usd("50.00"),
        (second, 31337): usd("150.00"), (second, SECOND): usd("50.00"),
    }  # fmt: skip
    assert both.sweep(31337) == both.sweep(SECOND) == 2, "a transaction a factory"
    both.settle()
    for owner in (made.treasury, treasury):
        assert made.node.balance(made.usdc, owner) == usd("150.00")
        assert both.node.balance(both.usdc, owner) == usd("50.00")
    assert made.findings() == []


def test_after_the_treasury_is_changed_old_addresses_are_watched_and_emptied_on_every_chain(both: Both) -> None:
    made = both.made
    made.app.check_chain(SECOND)
    metered(made, "acme", "beta")
    made.app.check_chain(31337)
    (old,) = [one for one in made.app.issuer.run(PERIOD, actor="test") if one.tenant == "acme"]
    assert old.address is not None
    both.settle()
    treasury = parse_address(made.node.accounts[8])
    moved_to(made, treasury=treasury)
    both.node.transfer(both.usdc, old.address, usd("200.00"))
    made.node.transfer(made.usdc, old.address, usd("3.00"))
    both.settle()
    assert made.invoice(old.number).status is InvoiceStatus.PAID
    assert made.balance("tenant_credit") == -300
    assert both.sweep(31337) == both.sweep(SECOND) == 1
    both.settle()
    assert both.node.balance(both.usdc, made.treasury) == usd("200.00"), "the treasury of its document"
    assert both.node.balance(both.usdc, treasury) == made.node.balance(made.usdc, treasury) == 0
    made.node.transfer(made.usdc, treasury, usd("9.00"))
    both.settle()
    assert both.booked("treasury", 31337) == usd("12.00") and made.findings() == []
    assert made.app.accepter.accepted() == {31337}, "the new wallet's factory is not deployed on the second chain"

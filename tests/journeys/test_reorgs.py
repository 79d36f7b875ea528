"""The chain takes back what it showed, in every way; invoice, ledger and credit follow, and nothing is booked twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.chain import store as chain_store
from billing.core.errors import Conflict
from billing.invoicing.lifecycle import InvoiceStatus
from tests.world import World, issued, transfer_data, usd, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def rows(made: World, sql: str) -> list[tuple[Any, ...]]:
    with made.app.database.transaction() as session:
        return [tuple(row) for row in session.execute(text(sql))]


def transaction(made: World, to: str, units: int) -> dict[str, Any]:
    """A transfer as `anvil_reorg` takes it: it is mined in the new branch."""
    return {
        "from": made.node.accounts[0],
        "to": made.usdc,
        "data": "0x" + transfer_data(to, units).hex(),
        "gas": hex(200_000),
        "gasPrice": hex(10**11),
    }


def test_a_reorg_that_drops_a_payment_reopens_the_invoice(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("250.00"))
    made.node.mine(3)
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.balance("tenant_credit") == -5_000
    made.node.reorg(4)
    made.follow()
    again = made.invoice(invoice.number)
    assert (again.status, again.remaining) == (InvoiceStatus.OPEN, 20_000)
    assert made.balance("tenant_credit") == made.balance("deposit:31337:USDC", "31337:USDC") == 0
    assert rows(made, "SELECT state, incarnation FROM transfer") == [("orphaned", 1)]
    made.settle()
    assert made.findings() == []


def test_a_reorg_that_moves_a_payment_to_another_block_books_it_once(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.node.mine(2)
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    made.node.reorg(3, [(transaction(made, invoice.address, usd("200.00")), 1)])
    made.follow()
    made.settle()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    assert sorted(row[0] for row in rows(made, "SELECT state FROM transfer")) == ["final", "orphaned"]
    assert made.balance("deposit:31337:USDC", "31337:USDC") == usd("200.00")
    assert made.findings() == []


def test_a_payment_that_comes_back_in_the_same_block_is_a_new_incarnation(made: World) -> None:
    """A -> B -> A: the node is set back to the very chain that it had left."""
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.follow()
    fork = made.node.request("evm_snapshot", [])
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.node.mine(2)
    branch_a = made.node.request("anvil_dumpState", [])
    block_a = made.node.block("latest")
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    made.node.request("evm_revert", [fork])
    made.node.mine(4)
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.OPEN
    _return_to(made, branch_a)
    assert made.node.block(block_a.number) == block_a, "it is the same branch A"  # type: ignore[union-attr]
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    assert [row[1] for row in rows(made, "SELECT state, incarnation FROM transfer")] == [2]
    assert rows(
        made, "SELECT kind, incarnation, count(*) FROM entry WHERE transfer_id IS NOT NULL GROUP BY 1, 2 ORDER BY 2, 1"
    ) == [
        ("payment", 1, 1),
        ("payment.reversal", 1, 1),
        ("payment", 2, 1),
    ]
    made.settle()
    assert made.findings() == []


def _return_to(made: World, state: str) -> None:
    """Reset the node and load a dumped state: blocks and transactions come back with their hashes."""
    made.node.request("anvil_reset", [])
    made.node.request("anvil_loadState", [state])


def test_a_block_that_leaves_and_comes_back_between_two_ticks_is_booked_once(made: World) -> None:
    """A -> B -> A, and the reconciler never saw B: the first incarnation still stands when the second one is booked."""
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.follow()
    fork = made.node.request("evm_snapshot", [])
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.node.mine(2)
    branch_a = made.node.request("anvil_dumpState", [])
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    made.node.request("evm_revert", [fork])
    made.node.mine(4)
    for watcher in made.app.watchers.values():
        watcher.sync()
    _return_to(made, branch_a)
    made.follow()
    made.settle()
    assert rows(made, "SELECT incarnation, disposition FROM payment ORDER BY 1") == [(1, "reversed"), (2, "matched")]
    assert made.balance("deposit:31337:USDC", "31337:USDC") == usd("200.00") and made.balance("tenant_credit") == 0
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.findings() == []


def test_the_order_of_two_payments_does_not_matter_when_the_first_is_dropped(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("150.00"))
    made.node.mine(1)
    made.node.transfer(made.usdc, invoice.address, usd("100.00"), sender=1)
    made.node.mine(2)
    made.follow()
    assert made.balance("tenant_credit") == -5_000
    made.node.reorg(5, [(transaction(made, invoice.address, usd("100.00")), 0)])
    made.follow()
    made.settle()
    found = made.invoice(invoice.number)
    assert (found.status, found.remaining) == (InvoiceStatus.OPEN, 10_000)
    assert made.balance("tenant_credit") == 0 and made.findings() == []


def test_a_reorganisation_below_what_is_final_stops_the_chain_loudly_and_loses_nothing(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle(30)
    before = rows(made, "SELECT count(*) FROM posting")
    made.node.reorg(36)
    with pytest.raises(Conflict, match="is stopped: the chain"):
        made.follow()
    with pytest.raises(Conflict, match="see: stablemeter chain status"):
        made.follow()
    assert rows(made, "SELECT count(*) FROM posting") == before
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID


def rewind(made: World, to: int) -> None:
    """What `chain rewind --to-block` asks for."""
    above = made.node.block(to + 1)
    assert above is not None
    with made.app.database.transaction() as session:
        chain_store.rewind_by_hand(session, 31337, above.mined_at, made.clock.now())


def stopped_by_a_deep_reorganisation(made: World, depth: int = 36) -> int:
    """Reorganises below what is final; returns the height of the last block that both branches have."""
    head = made.node.block("latest")
    assert head is not None
    made.node.reorg(depth)
    with pytest.raises(Conflict, match="is stopped: the chain took back block"):
        made.follow()
    return head.number - depth


def test_a_person_rewinds_a_chain_that_took_back_what_was_final(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.settle()
    made.node.transfer(made.usdc, invoice.address, usd("50.00"))
    made.settle(40)
    kept = rows(made, "SELECT id, block_hash, incarnation FROM transfer")
    made.node.transfer(made.usdc, invoice.address, usd("170.00"))
    made.settle(30)
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.balance("tenant_credit") == -2_000
    ancestor = stopped_by_a_deep_reorganisation(made)
    rewind(made, ancestor)
    made.settle(30)
    found = made.invoice(invoice.number)
    assert (found.status, found.remaining) == (InvoiceStatus.OPEN, 15_000)
    assert made.balance("tenant_credit") == 0 and made.balance("deposit:31337:USDC", "31337:USDC") == usd("50.00")
    assert rows(made, "SELECT id, block_hash, incarnation FROM transfer WHERE state = 'final'") == kept
    assert rows(made, "SELECT rewind_to, rewind_takes_back, stopped FROM chain_state") == [(None, False, "")]
    assert made.findings() == []
    made.node.transfer(made.usdc, invoice.address, usd("150.00"))
    made.settle(30)
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.findings() == []


@pytest.mark.parametrize("below", [True, False])
def test_a_rewind_of_a_chain_that_was_not_reorganised_changes_nothing(made: World, below: bool) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    receipt = made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle(30)
    before = rows(made, "SELECT id, state, incarnation FROM transfer"), rows(made, "SELECT count(*) FROM entry")
    rewind(made, int(receipt["blockNumber"], 16) + (-2 if below else 2))
    made.settle(1)
    assert (
        rows(made, "SELECT id, state, incarnation FROM transfer"),
        rows(made, "SELECT count(*) FROM entry"),
    ) == before
    assert made.findings() == []

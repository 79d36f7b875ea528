"""The balance audit on a real node: through Multicall3 where it is, in batches where it is not; and coins that pay nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.chain.balances import AT_ONCE, MULTICALL3, NATIVE, balances
from billing.core.onchain import ZERO_ADDRESS, Address
from billing.reconciliation import store as payments
from billing.wallets.forwarder import flush_calldata
from tests.world import World, issued, usd, world

NOBODY = Address("0x" + "99" * 20)


@pytest.fixture(params=["multicall", "batches"])
def made(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        if request.param == "multicall":
            code = one.node.code(one.node.deploy("TestMulticall"))
            one.node.request("anvil_setCode", [MULTICALL3, "0x" + code.hex()])
        yield one


def questions(made: World) -> list[tuple[str, str]]:
    with made.app.database.transaction() as session:
        return [(one["kind"], one["detail"]) for one in payments.exceptions(session)]


def test_balances_of_many_are_told_in_few_requests_and_one_bad_token_hides_none(made: World) -> None:
    owners = [Address(f"0x{n:040x}") for n in range(10**6, 10**6 + AT_ONCE)]
    for position, owner in enumerate(owners[:3]):
        made.node.mint(made.usdc, owner, 1_000 + position)
    made.node.send(owners[1], value=10**15)
    made.node.mine(2)
    head = made.node.block("latest")
    assert head is not None
    asked: list[str] = []
    post = made.node._post

    def noted(method: str, body: Any) -> Any:
        asked.append(method)
        return post(method, body)

    made.node._post = noted  # type: ignore[method-assign]
    places = [(owner, token) for owner in owners for token in (made.usdc, NOBODY, NATIVE)]
    found = balances(made.node, places, head.number)
    assert [found[owner, made.usdc] for owner in owners[:4]] == [1_000, 1_001, 1_002, 0]
    assert [found[owner, NATIVE] for owner in owners[:3]] == [0, 10**15, 0]
    assert {found[owner, NOBODY] for owner in owners} == {None}, "no contract tells nothing, and is no zero"
    assert len(found) == 3 * AT_ONCE
    together = asked.count("eth_call") + asked.count("eth_getBalance")
    assert together <= 3 * AT_ONCE // 50


def test_books_and_chain_are_compared_and_a_difference_is_found(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("120.00"))
    made.node.transfer(made.usdt, invoice.address, usd("80.00"))
    made.settle(40)
    assert made.findings() == []
    with made.app.database.transaction() as session:
        from sqlalchemy import text

        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE transfer SET units = units + 1 WHERE token_address = :t"), {"t": made.usdt})
    found = made.findings()
    assert any("NRUSD" in one and "chain 80000000, transfers 80000001" in one for one in found)


def test_native_coin_at_an_invoices_address_is_told_until_it_is_gone(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.settle(40)
    made.node.send(invoice.address, value=25 * 10**16)
    made.settle(40)
    for _ in range(2):  # once asked, not asked again
        assert made.findings() == []
        ((kind, detail),) = questions(made)
        assert kind == "native_coin" and detail.startswith("0.25") and "of anvil's native coin lie on 0x" in detail
    wallet = made.app.wallet
    made.node.send(wallet.factory, flush_calldata([invoice.digest], ZERO_ADDRESS))  # type: ignore[union-attr]
    made.settle(40)
    assert made.findings() == [] and questions(made) == []

"""The balance audit on a real node: through Multicall3 where it is, in batches where it is not; and coins that pay nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from eth_abi.abi import decode, encode

from billing.chain.balances import AT_ONCE, MULTICALL3, NATIVE, balances, balances_at
from billing.core.errors import Unavailable
from billing.core.onchain import ZERO_ADDRESS, Address, checksum, selector, word
from billing.reconciliation import store as payments
from billing.reconciliation.resolver import Resolution
from billing.wallets.forwarder import flush_calldata
from tests.chain.proxy import Fault, Honest, Proxy, Reply, proxied
from tests.world import World, issued, usd, world

NOBODY = Address("0x" + "99" * 20)


@pytest.fixture(params=["multicall", "batches"])
def made(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        if request.param == "multicall":
            with_multicall(one)
        yield one


def with_multicall(made: World) -> None:
    code = made.node.code(made.node.deploy("TestMulticall"))
    made.node.request("anvil_setCode", [MULTICALL3, "0x" + code.hex()])


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


def test_a_question_about_coin_is_asked_again_when_there_is_more_and_closed_when_it_is_gone(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None

    def told() -> list[dict[str, Any]]:
        made.settle(40)
        assert made.findings() == []
        with made.app.database.transaction() as session:
            return [one for one in payments.exceptions(session) if one["kind"] == "native_coin"]

    made.node.send(invoice.address, value=10**17)
    (first,) = told()
    assert (first["tenant"], first["invoice"]) == ("acme", invoice.number)
    assert "--coin" in first["suggestion"] and "token 0x0" in first["suggestion"]
    made.app.resolver.resolve(first["id"], Resolution.ACKNOWLEDGE, reason="it is ours", actor="test")
    assert told() == [], "a person has answered"
    made.node.send(invoice.address, value=10**17)
    (second,) = told()
    assert second["detail"].startswith("0.2") and second["id"] != first["id"]
    made.app.resolver.resolve(second["id"], Resolution.ACKNOWLEDGE, reason="ours too", actor="test")
    made.node.send(made.app.wallet.factory, flush_calldata([invoice.digest], ZERO_ADDRESS))  # type: ignore[union-attr]
    assert told() == []
    made.node.send(invoice.address, value=2 * 10**17)
    (third,) = told()
    assert third["detail"] == second["detail"], "the same amount, but another time"


def test_balances_count_once_their_block_is_final_and_a_reorganisation_before_that_is_no_difference(
    database_url: str, tmp_path: Path
) -> None:
    with world(database_url, tmp_path, chain={"confirmations": 1, "final_confirmations": 60}) as made:
        with_multicall(made)
        (invoice,) = issued(made, "acme")
        assert invoice.address is not None
        made.settle(30)
        made.node.transfer(made.usdc, invoice.address, usd("120.00"))
        made.node.send(invoice.address, value=10**17)
        made.settle(36)
        looked = made.app.auditor.look(31337)
        assert (looked.owners, looked.read, looked.counted) == (2, 3 + 3 + 1, 0)
        made.settle(2)
        made.clock.move_to(made.clock.now() + timedelta(days=1))
        assert made.app.auditor.look(31337).read == 0, "what was read waits"
        head = made.node.block("latest")
        assert head is not None
        gone = made.node.block(head.number - 35)
        assert gone is not None
        places = [(invoice.address, token) for token in (made.usdc, NATIVE)]
        assert set(balances_at(made.node, places, gone).values()) == {usd("120.00"), 10**17}
        made.node.reorg(45)
        with pytest.raises(Unavailable):
            balances_at(made.node, places, gone)
        made.follow()
        made.settle(40)
        looked = made.app.auditor.look(31337)
        assert (looked.forgotten, looked.counted) == (7, 0), "its block left the chain"
        assert looked.read == 7, "and was read again"
        made.settle(70)
        looked = made.app.auditor.look(31337)
        assert (looked.counted, looked.forgotten) == (7, 0)
        assert made.findings() == [] and questions(made) == [], "the payment and the coin were never there"


def otherwise(change: int) -> Fault:
    """Every balance that a multicall tells is so much more."""

    def play(call: Any, honest: Honest) -> Reply | None:
        if not isinstance(call, dict) or call["method"] != "eth_call" or call["params"][0]["to"] != MULTICALL3:
            return None
        answer = orjson.loads(honest())
        (told,) = decode(["(bool,bytes)[]"], bytes.fromhex(answer["result"][2:]))
        more = [(good, word(int.from_bytes(data[:32], "big") + change)) for good, data in told]
        return Reply(orjson.dumps({**answer, "result": "0x" + encode(["(bool,bytes)[]"], [more]).hex()}))

    return play


def without_state(call: Any, honest: Honest) -> Reply | None:
    """The words of a node that keeps the state of few blocks."""
    calls = call if isinstance(call, list) else [call]
    if not {one["method"] for one in calls} & {"eth_call", "eth_getBalance"}:
        return None
    errors = [
        {
            "jsonrpc": "2.0",
            "id": one["id"],
            "error": {"code": -32000, "message": "missing trie node 5f2c (path ) not found"},
        }
        for one in calls
    ]
    return Reply(orjson.dumps(errors if isinstance(call, list) else errors[0]))


def through(made: World, stack: ExitStack, *, both: bool) -> Proxy:
    """The application asks a proxy first, and with `both` the node itself after it."""
    proxy = stack.enter_context(proxied(made.url))
    (chain,) = made.settings.chains
    urls = chain.model_copy(update={"rpc_urls": [proxy.url, made.url] if both else [proxy.url]})
    made.settings = made.settings.model_copy(update={"chains": [urls]})
    made.again()
    return proxy


def test_a_node_that_lies_about_balances_is_named_and_opens_no_books(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path) as made, ExitStack() as stack:
        with_multicall(made)
        proxy = through(made, stack, both=True)
        (invoice,) = issued(made, "acme")
        assert invoice.address is not None
        made.node.transfer(made.usdc, invoice.address, usd("120.00"))
        made.settle(40)
        proxy.fault = otherwise(7)
        found = made.findings()
        assert any(
            f"{checksum(invoice.address)}: USDC" in one
            and f"120000007 at {proxy.url} and 120000000 at {made.url}, transfers 120000000" in one
            for one in found
        ), found
        assert questions(made) == [] and made.balance("external", "31337:USDC") == 0
        proxy.fault = None
        assert made.findings() == []


def test_a_lie_that_nobody_contradicts_is_a_finding(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path) as made, ExitStack() as stack:
        with_multicall(made)
        proxy = through(made, stack, both=False)
        issued(made, "acme")
        made.settle(40)
        assert made.findings() == []
        proxy.fault = otherwise(7)
        assert any("USDC at block" in one and "chain 7, transfers 0" in one for one in made.findings())


def test_a_node_that_does_not_have_the_state_any_more_is_told_and_another_is_asked(
    database_url: str, tmp_path: Path
) -> None:
    with world(database_url, tmp_path) as made, ExitStack() as stack:
        proxy = through(made, stack, both=False)
        issued(made, "acme")
        made.settle(40)
        proxy.fault = without_state
        result = made.app.auditor.run()
        assert result.findings == []
        (skipped,) = result.skipped
        assert skipped.startswith("the books match anvil: ") and "missing trie node" in skipped
        through(made, stack, both=True).fault = without_state
        assert made.findings() == []


def test_tokens_with_moods_hide_nothing_of_others(made: World) -> None:
    """One contract that reverts, sends too much, too little, or burns all gas, for some holders each."""
    moody = made.node.deploy("MoodyToken")
    moods = {"Honest": 0, "BalanceBombs": 1, "BalanceReverts": 10, "BombsOnRevert": 11, "Short": 12, "BurnsGas": 13}
    owners = {name: Address(f"0x{10**6 + position:040x}") for position, name in enumerate(moods)}
    for name, owner in owners.items():
        for token in (moody, made.usdc):
            made.node.mint(token, owner, 5)
        made.node.send(moody, selector("setMood(address,uint8)") + word(owner) + word(moods[name]))
    head = made.node.block("latest")
    assert head is not None
    places = [(owner, token) for owner in owners.values() for token in (moody, made.usdc)]
    found = balances_at(made.node, places, head)
    assert {found[owner, made.usdc] for owner in owners.values()} == {5}
    assert {name: found[owner, moody] for name, owner in owners.items()} == {
        "Honest": 5, "BalanceBombs": 5, "BalanceReverts": None, "BombsOnRevert": None, "Short": None, "BurnsGas": None,
    }  # fmt: skip

"""Balances of many addresses from one node: in few requests, of one block, whatever a token or the node does."""

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from billing.chain.balances import AT_ONCE, MULTICALL3, NATIVE, Place, aggregate, aggregated, balances, balances_at
from billing.chain.block import Block, parameter
from billing.chain.node import Busy, RangeTooLarge
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.onchain import Address, Hash32, selector, word
from tests.chain.memory import MemoryChain, MemoryNode

USDC, USDT, HUNGRY = (Address("0x" + digits * 20) for digits in ("c1", "c2", "c3"))
MAX = 2**256 - 1
addresses = st.integers(0, 2**160 - 1).map(lambda n: Address(f"0x{n:040x}"))


def owners(count: int) -> list[Address]:
    return [Address(f"0x{n:040x}") for n in range(10**6, 10**6 + count)]


class Holder(MemoryNode):
    """A node on which everybody holds its own number of everything. `most` calls are what one request can bear; `burns` is a
    token that uses up all gas, and with it that of the calls after it."""

    def __init__(self, *, multicall: bool = True, by_hash: bool = True) -> None:
        chain = MemoryChain()
        for _ in range(40):
            chain.extend()
        super().__init__(chain)
        self.multicall, self.by_hash = multicall, by_hash
        self.most, self.burns, self.silent = 10**6, set[Address](), set[Address]()
        self.requests: list[int] = []
        self.garbage: bytes | None = None
        self.pruned_below = 0

    def code(self, address: Address) -> bytes:
        self.requests.append(1)
        return b"\x01" if self.multicall else b""

    def _at(self, at: int | str) -> None:
        if isinstance(at, str) and not self.by_hash:
            raise Unavailable(f"{self.url} refused eth_call: invalid argument 1: cannot unmarshal object")
        hashes = {block.hash: block.number for block in self.chain.blocks}
        number = at if isinstance(at, int) else hashes.get(Hash32(at))
        if number is None:
            raise Unavailable(f"{self.url} refused eth_call: header not found")
        if number < self.pruned_below:
            raise Unavailable(f"{self.url} refused eth_call: missing trie node")

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        assert to == MULTICALL3 and data[:4] == selector("aggregate3((address,bool,bytes)[])")
        self._at(block)
        (calls,) = decode(["(address,bool,bytes)[]"], data[4:])
        self.requests.append(len(calls))
        if len(calls) > self.most:
            raise RangeTooLarge("out of gas")
        if self.garbage is not None:
            return self.garbage
        answers, gas = [], True
        for target, may_fail, inner in calls:
            assert may_fail
            gas = gas and target not in self.burns
            good = gas and target not in self.silent
            answers.append((good, inner[4:36] if good else b""))
        return encode(["(bool,bytes)[]"], [answers])

    def call_many(self, wanted: Sequence[tuple[Address, bytes]], block: int | str) -> list[bytes | None]:
        self._at(block)
        self.requests += [min(100, len(wanted) - start) for start in range(0, len(wanted), 100)]
        if any(token in self.burns for token, _ in wanted):
            raise RangeTooLarge("out of gas")
        return [None if token in self.silent else data[4:36] for token, data in wanted]

    def coins(self, owners: Sequence[Address], block: int | str) -> list[int]:
        self._at(block)
        self.requests += [min(100, len(owners) - start) for start in range(0, len(owners), 100)]
        return [int(owner, 16) for owner in owners]


def all_of(places: Sequence[Place], *silent: Address) -> dict[Place, int | None]:
    return {place: None if place[1] in silent else int(place[0], 16) for place in places}


@given(st.lists(st.tuples(addresses, addresses), max_size=30))
def test_calldata_names_each_place_and_lets_each_fail_by_itself(places: list[Place]) -> None:
    data = aggregate(places)
    (calls,) = decode(["(address,bool,bytes)[]"], data[4:])
    assert len(calls) == len(places) and all(may_fail for _, may_fail, _ in calls)
    for (owner, token), (target, _, inner) in zip(places, calls, strict=True):
        coin = token == NATIVE
        assert target == (MULTICALL3 if coin else token)
        assert inner == selector("getEthBalance(address)" if coin else "balanceOf(address)") + word(owner)


@given(st.lists(st.none() | st.integers(0, MAX), max_size=30), st.booleans())
def test_what_was_answered_is_what_is_read(told: list[int | None], bombs: bool) -> None:
    answers = [(False, b"") if one is None else (True, word(one) + b"\xff" * (64 if bombs else 0)) for one in told]
    assert aggregated(encode(["(bool,bytes)[]"], [answers]), len(told)) == told


@given(st.binary(max_size=400))
def test_an_answer_that_is_none_is_untrusted_and_nothing_else(answer: bytes) -> None:
    with pytest.raises(Untrusted):
        aggregated(answer, 3)


@pytest.mark.parametrize(("multicall", "requests"), [(True, 61), (False, 361)])
def test_ten_thousand_addresses_and_two_tokens_take_few_requests(multicall: bool, requests: int) -> None:
    node = Holder(multicall=multicall)
    places = [(owner, token) for owner in owners(10_000) for token in (USDC, USDT, NATIVE)]
    head = node.chain.blocks[-1]
    assert balances_at(node, places, head) == all_of(places)
    assert len(node.requests) == requests
    assert len(aggregate(places[:AT_ONCE])) < 120_000


def test_a_request_that_is_too_much_is_halved_and_grows_again() -> None:
    node = Holder()
    node.most = 130
    places = [(owner, USDC) for owner in owners(2_000)]
    assert balances(node, places, 3) == all_of(places)
    assert len(node.requests) < 2 * 2_000 // 125 + 5


@pytest.mark.parametrize("multicall", [True, False])
def test_a_token_that_burns_all_gas_hides_no_other(multicall: bool) -> None:
    node = Holder(multicall=multicall)
    node.burns = {HUNGRY}
    places = [(owner, token) for owner in owners(600) for token in (USDC, HUNGRY, NATIVE)]
    assert balances(node, places, 3) == all_of(places, HUNGRY)


def test_a_token_that_reverts_is_no_zero_and_costs_little() -> None:
    node = Holder()
    node.silent = {USDT}
    places = [(owner, token) for owner in owners(1_000) for token in (USDC, USDT)]
    assert balances(node, places, 3) == all_of(places, USDT)
    assert len(node.requests) == 1 + 4 + 4, "each part once, and a sample of what failed in it"


def test_a_node_that_knows_blocks_by_number_only_is_asked_so_and_watched() -> None:
    node = Holder(by_hash=False)
    places = [(owner, USDC) for owner in owners(3)]
    block = node.chain.blocks[30]
    assert balances_at(node, places, block) == all_of(places)
    other = Block(30, Hash32("0x" + "ee" * 32), block.parent_hash, block.mined_at)
    with pytest.raises(Unavailable, match="does not know our block 30"):
        balances_at(node, places, other)


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_block_that_leaves_the_chain_while_it_is_read_is_not_read(by_hash: bool) -> None:
    node = Holder(by_hash=by_hash)
    block = node.chain.blocks[30]
    asked = node.call

    def reorganised(*args: Any, **kwargs: Any) -> bytes:
        node.chain.fork(25)
        for _ in range(10):
            node.chain.extend("b")
        return asked(*args, **kwargs)

    node.call = reorganised  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        balances_at(node, [(owner, USDC) for owner in owners(3)], block)


def test_a_node_without_the_state_says_so() -> None:
    node = Holder()
    node.pruned_below = 35
    with pytest.raises(Unavailable, match="missing trie node"):
        balances_at(node, [(owners(1)[0], USDC)], node.chain.blocks[30])


@pytest.mark.parametrize("answer", [b"\x01", b"\xff" * 640, encode(["(bool,bytes)[]"], [[(True, word(1))]])])
def test_garbage_is_untrusted(answer: bytes) -> None:
    node = Holder()
    node.garbage = answer
    with pytest.raises(Untrusted, match="multicall"):
        balances(node, [(owner, USDC) for owner in owners(3)], 3)


def test_where_multicall_was_deployed_after_the_block_it_is_done_without() -> None:
    node = Holder()
    node.garbage = b""
    places = [(owner, token) for owner in owners(3) for token in (USDC, NATIVE)]
    assert balances(node, places, 3) == all_of(places)


def test_who_asks_for_a_rest_is_not_asked_in_another_way() -> None:
    node = Holder()

    def busy(*args: Any, **kwargs: Any) -> bytes:
        node.requests.append(0)
        raise Busy("later", 5)

    node.call = busy  # type: ignore[method-assign]
    with pytest.raises(Busy):
        balances_at(node, [(owners(1)[0], USDC)], node.chain.blocks[30])
    assert node.requests.count(0) == 1


def test_a_call_that_fails_for_one_place_alone_is_no_answer() -> None:
    node = Holder()

    def reverts(*args: Any, **kwargs: Any) -> bytes:
        raise Conflict("the call reverts: out of gas")

    node.call = reverts  # type: ignore[method-assign]
    places = [(owner, token) for owner in owners(5) for token in (USDC, USDT)]
    assert set(balances(node, places, 3).values()) == {None}


def test_blocks_are_named_as_nodes_want_them() -> None:
    block_hash = "0x" + "ab" * 32
    assert (parameter(255), parameter("latest")) == ("0xff", "latest")
    assert parameter(block_hash) == {"blockHash": block_hash, "requireCanonical": True}

"""What a block's bloom excludes is not in the block. The values are those of a real node."""

from collections.abc import Iterator

import pytest

from billing.chain.block import block, may_hold
from billing.core.errors import Untrusted
from billing.core.onchain import TRANSFER_TOPIC, Address, padded
from tests.parts import anvil
from tests.world import Node


@pytest.fixture
def node() -> Iterator[Node]:
    with anvil() as url:
        one = Node(url)
        yield one
        one.close()


def test_a_real_block_may_hold_what_it_holds_and_nothing_else(node: Node) -> None:
    token, payer, receiver = node.deploy("TestUSD", "USD Coin", "USDC", 6), node.accounts[0], Address("0x" + "77" * 20)
    node.mint(token, payer, 5)
    node.transfer(token, receiver, 5)
    mined = node.block("latest")
    assert mined is not None and mined.bloom
    values = [bytes.fromhex(one[2:]) for one in (token, TRANSFER_TOPIC, padded(payer), padded(receiver))]
    assert may_hold(mined.bloom, values) and may_hold(mined.bloom, values[:1])
    for position in range(len(values)):
        other = [bytes([0x99]) * len(one) if i == position else one for i, one in enumerate(values)]
        assert not may_hold(mined.bloom, other)


@pytest.mark.parametrize("told", [None, "0x", "0x" + "00" * 256, 7])
def test_a_chain_that_does_not_fill_it_excludes_nothing(told: object) -> None:
    header = {"number": "0x1", "hash": "0x" + "1" * 64, "parentHash": "0x" + "2" * 64, "timestamp": "0x5"}
    assert may_hold(block({**header, "logsBloom": told}).bloom, [b"anything"])


def test_a_bloom_that_is_no_hex_is_not_believed() -> None:
    header = {"number": "0x1", "hash": "0x" + "1" * 64, "parentHash": "0x" + "2" * 64, "timestamp": "0x5"}
    with pytest.raises(Untrusted, match="logsBloom"):
        block({**header, "logsBloom": "0x" + "zz" * 256})

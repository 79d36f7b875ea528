"""What a node says is believed only as far as it fits together."""

from typing import Any

import pytest

from billing.chain.node import RangeTooLarge
from billing.chain.reader import FILTER_MAX, ROUND, Reader
from billing.chain.tokens import Token
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import Address, Hash32
from tests.chain.memory import TOKEN, MemoryChain, MemoryNode, changed

MINE, OTHER, PAYER = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20), Address("0x" + "ee" * 20)
TOKENS = (Token(1, "USDC", TOKEN, 6),)


@pytest.fixture
def node() -> MemoryNode:
    chain = MemoryChain()
    for number in range(30):
        transfers = [(PAYER, OTHER, 5, "x"), (PAYER, MINE, number, "y")] if number % 3 == 0 else []
        chain.extend(transfers=transfers)
    return MemoryNode(chain)


def reader(node: MemoryNode, watched: set[Address] | None = None) -> Reader:
    return Reader(node, TOKENS, {MINE} if watched is None else watched)


def parent(node: MemoryNode, number: int) -> Hash32:
    return node.chain.blocks[number - 1].hash


def test_one_block_by_hash_gives_its_watched_transfers(node: MemoryNode) -> None:
    read = reader(node).one(9, parent(node, 9))
    assert read is not None and [(one.block_number, one.units) for one in read.logs] == [(9, 9)]
    assert (read.seen, read.zero) == (2, 0) and read.blocks == [node.chain.blocks[9]]


@pytest.mark.parametrize("many", [False, True])
def test_a_range_gives_the_same_whether_the_node_filters_or_we(node: MemoryNode, many: bool) -> None:
    watched = {MINE} | ({Address(f"0x{n:040x}") for n in range(FILTER_MAX)} if many else set())
    read = reader(node, watched).span(1, 20, parent(node, 1))
    assert read is not None
    assert [one.units for one in read.logs] == [3, 6, 9, 12, 15, 18]
    assert read.end == node.chain.blocks[20]
    assert {block.number for block in read.blocks} >= {3, 6, 9, 12, 15, 18, 20}


def test_transfers_of_nothing_are_counted_and_left_out(node: MemoryNode) -> None:
    node.chain.extend(transfers=[(PAYER, MINE, 0, "z")])
    read = reader(node).one(30, parent(node, 30))
    assert read is not None and read.logs == [] and read.zero == 1


def test_a_block_that_does_not_build_on_ours_is_a_reorganisation(node: MemoryNode) -> None:
    wrong = Hash32("0x" + "99" * 32)
    assert reader(node).one(9, wrong) is None
    assert reader(node).span(9, 20, wrong) is None


def test_a_block_that_the_node_does_not_know_yet_is_not_empty(node: MemoryNode) -> None:
    with pytest.raises(Unavailable, match="does not know block 30"):
        reader(node).one(30, parent(node, 30))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"blockHash": "0x" + "77" * 32}, "another block"),
        ({"removed": True}, "marked as removed"),
        ({"data": "0x"}, "no ERC-20 Transfer"),
        ({"address": "0x" + "dd" * 20}, "another token"),
        ({"transactionHash": "0x12"}, "no hash"),
        ({"logIndex": "seven"}, "no quantity"),
        ({"blockNumber": "0x8"}, "another block"),
    ],
)
def test_a_log_that_cannot_be_right_is_not_believed(node: MemoryNode, fields: dict[str, Any], words: str) -> None:
    node.lie = lambda logs: changed(logs, **fields)
    with pytest.raises(Untrusted, match=words):
        reader(node).one(9, parent(node, 9))


def test_a_log_twice_is_not_believed(node: MemoryNode) -> None:
    node.lie = lambda logs: logs + logs
    with pytest.raises(Untrusted, match="twice"):
        reader(node).one(9, parent(node, 9))


def test_a_range_that_is_reorganised_while_it_is_read_is_read_again(node: MemoryNode) -> None:
    def fork(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        node.chain.fork(17)
        for _ in range(12):
            node.chain.extend("b")
        return logs

    node.lie = fork
    with pytest.raises(Unavailable, match="reorganised while"):
        reader(node).span(1, 20, parent(node, 1))


def test_logs_of_an_old_branch_in_a_range_are_not_believed(node: MemoryNode) -> None:
    stale = changed(node.chain.logs(node.chain.blocks[9])[1:], blockHash="0x" + "77" * 32)
    node.lie = lambda logs: [*[one for one in logs if one["blockNumber"] != "0x9"], *stale]
    with pytest.raises(Untrusted, match="names another block 9"):
        reader(node).span(1, 20, parent(node, 1))


def test_odd_topics_of_other_contracts_are_passed_over(node: MemoryNode) -> None:
    node.lie = lambda logs: [*logs, {**logs[0], "topics": ["0x1"], "logIndex": "0x9"}]
    read = reader(node).one(9, parent(node, 9))
    assert read is not None and len(read.logs) == 1


@pytest.mark.parametrize("many", [False, True])
def test_an_answer_of_a_round_length_is_asked_for_in_halves(many: bool) -> None:
    """Some nodes cut answers off at a round number of logs, without an error: the rest would be lost."""
    chain = MemoryChain()
    for number in range(30):
        chain.extend(transfers=[(PAYER, MINE, 1, f"{number}-{one}") for one in range(100)])
    node = MemoryNode(chain)
    node.lie = lambda logs: logs[:ROUND]
    watched = {MINE} | ({Address(f"0x{n:040x}") for n in range(FILTER_MAX)} if many else set())
    with pytest.raises(RangeTooLarge, match="exactly 1000 logs: perhaps the node left out the rest"):
        reader(node, watched).span(1, 20, parent(node, 1))
    read = reader(node, watched).span(1, 9, parent(node, 1))
    assert read is not None and len(read.logs) == 900
    node.lie = lambda logs: [{**logs[0], "logIndex": hex(index)} for index in range(ROUND)] if logs else []
    read = reader(node, watched).span(5, 5, parent(node, 5))
    assert read is not None and len(read.logs) == ROUND, "one block cannot be asked for in halves"

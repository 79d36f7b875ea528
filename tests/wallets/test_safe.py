"""Who may move a treasury, on a real node."""

from collections.abc import Iterator

import pytest

from billing.core.onchain import parse_address
from billing.wallets.safe import safe
from tests.parts import anvil
from tests.world import Node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with anvil() as url:
        one = Node(url)
        yield one
        one.close()


def test_a_safe_tells_its_owners_and_how_many_must_sign(node: Node) -> None:
    owners = [parse_address(one) for one in node.accounts[:3]]
    found = safe(node, node.deploy("TestSafe", owners, 2))
    assert found is not None and (found.owners, found.threshold) == (tuple(owners), 2)


@pytest.mark.parametrize("threshold", [0, 2, 2**200])
def test_what_cannot_be_a_safe_is_none(node: Node, threshold: int) -> None:
    assert safe(node, node.deploy("TestSafe", [node.accounts[0]], threshold)) is None


def test_a_plain_account_and_another_contract_are_none(node: Node) -> None:
    assert safe(node, parse_address(node.accounts[0])) is None
    assert safe(node, node.deploy("TestUSD", "USD Coin", "USDC", 6)) is None
    assert safe(node, node.deploy("TestSafe", [], 1)) is None

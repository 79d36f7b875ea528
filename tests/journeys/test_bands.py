"""Small payments count sooner, on a real node; the pay page says the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.invoicing.lifecycle import InvoiceStatus
from tests.world import World, issued, usd, world

BANDS = [{"up_to": "50", "confirmations": 1}, {"up_to": "150", "confirmations": 3}]


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path, chain={"bands": BANDS, "confirmations": 6}) as one:
        yield one


def test_small_payments_count_in_their_block_and_parts_wait_like_the_whole(made: World) -> None:
    (invoice,) = issued(made, "acme")
    address = invoice.address
    assert address is not None

    def paid(amount: str, token: str = "") -> int:
        made.node.transfer(made.usdt if token else made.usdc, address, usd(amount))
        made.follow()
        return made.invoice(invoice.number).paid

    def after(blocks: int) -> int:
        made.node.mine(blocks)
        made.follow()
        return made.invoice(invoice.number).paid

    assert paid("40.00") == 4_000
    assert paid("10.01", "another token") == 4_000, "50.01 have come: three blocks"
    assert (after(1), after(1)) == (4_000, 5_001)
    assert paid("40.00") == 5_001
    assert after(2) == 9_001
    assert paid("60.00") == 9_001 and paid("49.99") == 9_001, "more than 150 have come: six blocks"
    assert after(3) == 9_001
    assert (after(1), after(1)) == (15_001, 20_000)
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    made.settle()
    assert made.findings() == []

"""A tenant pays from the page, on a real EVM node: with what the page says and nothing else."""

import re
from pathlib import Path

from billing.core.onchain import Address, parse_address
from billing.invoicing.verify import verify
from billing.web.app import create_app
from tests.wallets.test_addresses import XPUB
from tests.web.client import Client
from tests.world import World, issued, world


def test_a_tenant_verifies_pays_what_the_page_says_and_gets_a_receipt(made: World) -> None:
    (invoice,) = issued(made, "acme")
    tenant = Client(create_app(made.app))
    page = tenant.get(f"/pay/{invoice.pay_token}?pay=31337-NRUSD").text
    uri = re.search(r'href="ethereum:(0x\w{40})@31337/transfer\?address=(0x\w{40})&amp;uint256=(\d+)"', page)
    assert uri is not None
    token, address, units = parse_address(uri.group(1)), parse_address(uri.group(2)), int(uri.group(3))
    document = tenant.get(f"/pay/{invoice.pay_token}/document").content
    assert made.app.wallet is not None and verify(document, [made.app.wallet.pin()], address).genuine
    assert token == made.usdt, "the token that was chosen"

    def state() -> tuple[str, int | None]:
        found = tenant.json(f"/pay/{invoice.pay_token}/status")
        return found["state"], found["confirmations"]

    assert state() == ("waiting", None)
    receipt = made.node.transfer(token, address, units)
    made.follow()
    assert state() == ("detected", 1)
    made.node.mine(1)
    made.follow()
    assert state() == ("detected", 2)
    made.node.mine(1)
    made.follow()
    assert state() == ("paid", None)
    made.settle()
    assert tenant.json(f"/pay/{invoice.pay_token}/status")["settled"] is True
    paid = tenant.get(f"/pay/{invoice.pay_token}").text
    assert receipt["transactionHash"] in paid and "200.00 USD paid; final" in paid
    assert made.findings() == []


def test_a_payment_is_reorganised_away_and_comes_back(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    tenant = Client(create_app(made.app))

    def state() -> str:
        found: str = tenant.json(f"/pay/{invoice.pay_token}/status")["state"]
        return found

    made.node.transfer(made.usdc, invoice.address, 200_000_000)
    made.node.mine(2)
    made.follow()
    assert state() == "paid"
    made.node.reorg(3)
    made.node.mine(1)
    made.follow()
    assert state() == "waiting"
    made.node.transfer(made.usdc, invoice.address, 200_000_000)
    made.settle()
    assert state() == "paid" and made.findings() == []


def test_in_xpub_mode_the_page_says_that_the_address_proves_nothing(database_url: str, tmp_path: Path) -> None:
    with world(database_url, tmp_path, xpub=XPUB) as made:
        (invoice,) = issued(made, "acme")
        page = Client(create_app(made.app)).get(f"/pay/{invoice.pay_token}").text
        assert "commits to nothing" in page and "stablemeter verify" not in page
        assert isinstance(invoice.address, str) and Address(invoice.address)

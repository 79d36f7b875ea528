"""The invoice page in the hands of its payer: live, without a script, by keyboard, from a wallet, on a real EVM node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from billing.core.onchain import checksum
from billing.invoicing.invoice import Invoice
from billing.web.app import create_app
from tests.browser.conftest import Open, fresh_database
from tests.browser.gallery import Gallery
from tests.browser.serving import Tab
from tests.web.serving import served
from tests.world import World, issued, world

PAGE_BYTES_MAX = 100_000


@dataclass
class Site:
    """A served world with an invoice of 200.00 USD; `wallet` is account 0 of the node, which needs no key."""

    world: World
    invoice: Invoice
    base: str

    @property
    def path(self) -> str:
        return f"/pay/{self.invoice.pay_token}"

    @property
    def wallet(self) -> str:
        return self.world.node.accounts[0]


@pytest.fixture(scope="package")
def node_world(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[Invoice], str]]:
    """One node and one application for all tests here; each takes an invoice of its own."""
    folder = tmp_path_factory.mktemp("payers")
    with fresh_database(postgres, "payers") as url, world(url, folder, chain={"block_seconds": 2}) as made:
        invoices = issued(made, "ada", "bea", "cid", "dan", "eve")
        with served(create_app(made.app)) as base:
            yield made, invoices, base


@pytest.fixture
def site(node_world: tuple[World, list[Invoice], str]) -> Site:
    made, invoices, base = node_world
    return Site(made, invoices.pop(), base)


WALLET = """
window.asked = [];
const info = { uuid: "5c1f", name: "Test Wallet", icon: "data:,", rdns: "test.wallet" };
const provider = { request: async ({ method, params }) => {
  window.asked.push(method);
  const answer = await window.wallet(method, JSON.stringify(params ?? []));
  const { result, error } = JSON.parse(answer);
  if (error) throw Object.assign(new Error(error.message), error);
  return result;
} };
const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", {
  detail: Object.freeze({ info, provider }) }));
window.addEventListener("eip6963:requestProvider", announce);
announce();
"""


@dataclass
class Wallet:
    """What a wallet does with what it is asked; a test tells it what to refuse. It starts on another network."""

    site: Site
    chain: str = "0x1"
    declines: str = ""
    unknown: bool = False

    def put_into(self, tab: Tab) -> None:
        tab.page.expose_function("wallet", self.answer)
        tab.page.add_init_script(WALLET)

    def answer(self, method: str, params: str) -> str:
        if method == self.declines:
            return json.dumps({"error": {"code": 4001, "message": "no"}})
        if method == "eth_requestAccounts":
            return json.dumps({"result": [self.site.wallet]})
        if method == "eth_chainId":
            return json.dumps({"result": self.chain})
        if method == "wallet_switchEthereumChain":
            if self.unknown:
                return json.dumps({"error": {"code": 4902, "message": "unknown"}})
            self.chain = json.loads(params)[0]["chainId"]
            return json.dumps({"result": None})
        return json.dumps({"result": self.site.world.node.request(method, json.loads(params))})


def test_a_payment_turns_the_open_page_to_paid_without_a_reload(site: Site, open_tab: Open) -> None:
    assert site.invoice.address is not None
    tab = open_tab(site.base)
    tab.open(site.path)
    page = tab.page
    page.evaluate("window.same = true")
    expect(page.locator(".headline")).to_have_text("Waiting for payment")
    site.world.node.transfer(site.world.usdc, site.invoice.address, 50_000_000)
    site.world.follow()
    expect(page.locator(".headline")).to_have_text("Payment detected")
    expect(page.locator(".progress")).to_contain_text(
        "50.00 USDC on Anvil: 1 of 3 confirmations, about 4 seconds to go"
    )
    expect(page.locator("#copy-amount")).to_have_attribute("data-copy", "150.00")
    site.world.node.mine(2)
    site.world.follow()
    expect(page.locator(".headline")).to_have_text("Partly paid")
    site.world.node.transfer(site.world.usdt, site.invoice.address, 150_000_000)
    site.world.node.mine(2)
    site.world.follow()
    expect(page.locator(".headline")).to_have_text("Paid")
    expect(page.locator("#receipts-title")).to_have_text("Receipt")
    expect(page.locator("#pay-title")).to_have_count(0)
    assert page.evaluate("window.same") and tab.errors == []


def test_where_streams_are_refused_the_page_asks_instead(site: Site, open_tab: Open) -> None:
    assert site.invoice.address is not None
    tab = open_tab(site.base)
    tab.page.route("**/events*", lambda route: route.fulfill(status=503))
    tab.open(site.path)
    site.world.node.transfer(site.world.usdc, site.invoice.address, 200_000_000)
    site.world.node.mine(2)
    site.world.follow()
    expect(tab.page.locator(".headline")).to_have_text("Paid")
    assert any(one.endswith("/status") for one in tab.requests)


def test_a_wallet_pays_exactly_what_remains_on_the_right_network(site: Site, open_tab: Open) -> None:
    assert site.invoice.address is not None
    wallet, tab = Wallet(site), open_tab(site.base)
    wallet.put_into(tab)
    tab.open(site.path)
    page = tab.page
    page.get_by_role("button", name="Pay 200.00 USDC with Test Wallet").click()
    expect(page.locator("#wallet-said")).to_contain_text("Sent. This page shows the payment once it is in a block.")
    expect(page.get_by_role("button", name="Pay 200.00")).to_have_count(0)
    assert site.world.node.balance(site.world.usdc, site.invoice.address) == 200_000_000
    assert page.evaluate("window.asked").index("wallet_switchEthereumChain") < page.evaluate("window.asked").index(
        "eth_sendTransaction"
    )
    site.world.node.mine(2)
    site.world.follow()
    expect(page.locator(".headline")).to_have_text("Paid")
    assert tab.errors == []


def test_a_wallet_that_refuses_is_told_in_clear_words_and_sends_nothing(site: Site, open_tab: Open) -> None:
    assert site.invoice.address is not None
    wallet, tab = Wallet(site), open_tab(site.base)
    wallet.put_into(tab)
    tab.open(site.path)
    button, said = tab.page.locator("#wallet-0"), tab.page.locator("#wallet-said")
    wallet.declines = "eth_requestAccounts"
    button.click()
    expect(said).to_have_text("You declined in Test Wallet. Nothing was sent.")
    wallet.declines, wallet.unknown = "", True
    button.click()
    expect(said).to_contain_text("Test Wallet does not know Anvil (chain id 31337)")
    wallet.unknown, wallet.declines = False, "eth_sendTransaction"
    button.click()
    expect(said).to_have_text("You declined in Test Wallet. Nothing was sent.")
    wallet.declines = ""
    held = site.world.node.balance(site.world.usdc, site.wallet)
    site.world.node.transfer(site.world.usdc, site.world.node.accounts[5], held)
    button.click()
    expect(said).to_contain_text("That account has less than 200.00 USDC on Anvil")
    site.world.node.transfer(site.world.usdc, site.wallet, held, sender=5)
    assert site.world.node.balance(site.world.usdc, site.invoice.address) == 0


def test_without_a_script_the_page_can_be_read_and_the_token_chosen(shown: Gallery, open_tab: Open) -> None:
    tab = open_tab(shown.base, java_script_enabled=False)
    tab.open(shown.pay("waiting"))
    page = tab.page
    address = shown.invoices["waiting"].address
    assert address is not None
    page.get_by_role("link", name="USDT on Base").click()
    expect(page.locator("#choice-31337-USDT")).to_have_attribute("aria-current", "true")
    expect(page.locator(".send .big")).to_contain_text("20.00 USDT")
    assert "".join(page.locator(".address").inner_text().split()) == checksum(address)
    expect(page.locator(".code-address svg")).to_be_visible()
    page.get_by_text("Payment link", exact=True).click()
    expect(page.locator(".code-link svg")).to_be_visible()
    expect(page.locator(".copy").first).to_be_hidden()
    expect(page.get_by_text("Load it again to see what has changed")).to_be_visible()


def test_the_keyboard_suffices_to_choose_copy_and_pay(site: Site, open_tab: Open) -> None:
    assert site.invoice.address is not None
    wallet, tab = Wallet(site, chain="0x7a69"), open_tab(site.base)
    wallet.put_into(tab)
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open(site.path)
    page = tab.page

    def reach(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {selector}")

    reach("#choice-31337-NRUSD")
    page.keyboard.press("Enter")
    page.wait_for_url("**pay=31337-NRUSD")
    reach("#copy-address")
    page.keyboard.press("Enter")
    expect(page.locator("#copy-address")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == checksum(site.invoice.address)
    reach("#wallet-0")
    page.keyboard.press("Enter")
    expect(page.locator("#wallet-said")).to_contain_text("Sent.")
    assert site.world.node.balance(site.world.usdt, site.invoice.address) == 200_000_000


def test_the_page_weighs_little(shown: Gallery, open_tab: Open) -> None:
    """Everything that is transferred for a first visit, headers included."""
    for state in ("waiting", "rich"):
        tab = open_tab(shown.base)
        session = tab.page.context.new_cdp_session(tab.page)
        session.send("Network.enable")
        sizes: list[float] = []
        session.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
        tab.open(shown.pay(state))
        tab.page.wait_for_timeout(300)
        assert len(sizes) >= 4 and sum(sizes) < PAGE_BYTES_MAX, f"{state}: {sum(sizes):,.0f} bytes"


RICH = [
    "Description GPU-hours Unit price Amount, USD",
    "north",
    "NVIDIA H100, packages of 4 h, used by North Coverage 100 % 10.00 7.00 per 4 h started 21.00",
    "Subtotal, north 21.00",
    "rich",
    "NVIDIA H100, first to 4 h Coverage 100 % 4.00 2.00 8.00",
    "NVIDIA H100, over 4 h Coverage 100 % 6.00 1.50 9.00",
    "Reserved rack 1,200.00",
    "Partner discount, 10 % −5.50",
    "Subtotal, rich 1,211.50",
    "south",
    "NVIDIA H100, first to 4 h, used by South Coverage 100 % 4.00 2.00 8.00",
    "NVIDIA H100, over 4 h, used by South Coverage 100 % 6.00 1.50 9.00",
    "Subtotal, south 17.00",
    "Subtotal 1,249.50",
    "GST 10 % 124.95",
    "Total 1,374.45",
    "Credit used: promotional −100.00",
    "Amount due 1,274.45 USD",
]
NOTED = ["Total 20.00", "Amount due 20.00 USD", "Credit note INV-CN-000002 −5.00 USD", "Asked for now 15.00 USD"]


def test_the_lines_are_those_of_the_document(shown: Gallery, open_tab: Open) -> None:
    """Groups of a reseller's customers with subtotals, tiers, packages, a fee, a discount, tax, credit, and what is asked for."""
    tab = open_tab(shown.base, viewport={"width": 1440, "height": 900})
    tab.open(shown.pay("rich"))
    rows = [" ".join(one.split()) for one in tab.page.locator(".lines tr").all_inner_texts()]
    assert rows == RICH
    tab.open(shown.pay("noted"))
    rows = [" ".join(one.split()) for one in tab.page.locator(".lines tfoot tr").all_inner_texts()]
    assert rows == NOTED
    expect(tab.page.locator(".bars rect")).to_have_count(31)

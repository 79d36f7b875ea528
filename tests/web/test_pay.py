"""The invoice page: complete without JavaScript, safe with hostile names, right about every state."""

import itertools
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.onchain import checksum, parse_address
from billing.invoicing.invoice import Invoice
from billing.invoicing.verify import verify
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from billing.web.pages import view
from tests.web.client import WATCHED, Client
from tests.web.scene import SENDER, Scene


@pytest.fixture
def anybody(app: App) -> Client:
    return Client(create_app(app))


class Page(HTMLParser):
    """A page as somebody without scripts sees it: its text, and what matters of its tags."""

    VOID = ("meta", "link", "br", "path", "img", "input")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag in ("td", "th", "dt", "dd", "li", "p"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if "title" not in self.open and "script" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(anybody: Client, invoice: Invoice, query: str = "") -> Page:
    answer = anybody.get(f"/pay/{invoice.pay_token}{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    found = Page(answer.text)
    assert found.open == [], "every tag is closed"
    return found


def codes(found: Page) -> list[dict[str, str]]:
    """The QR codes."""
    return [one for one in found.all("svg") if one["class"] == "qr"]


SCRIPTS = 2


def status(anybody: Client, invoice: Invoice) -> dict[str, Any]:
    found: dict[str, Any] = anybody.json(f"/pay/{invoice.pay_token}/status")
    return found


def test_the_page_says_everything_without_a_script(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme", legal_name="Acme Pty Ltd")
    assert invoice.address is not None
    found = page(anybody, invoice)
    for words in (
        "Test GPU Pty Ltd", "INV-000001", "Acme Pty Ltd", "October 2026", "15 November 2026", "NVIDIA H100", "10.00", "2.00",
        "20.00 USD", "Coverage 100 %", "Waiting for payment", "Send exactly 20.00 USDC", "Anvil", "chain id 31337",
        checksum(invoice.address), "Send USDC on Anvil only", "20.00 USDC must arrive", "A payment counts after 3 confirmations",
        f"stablemeter verify INV-000001.json --issuer PIN --address {checksum(invoice.address)}", invoice.digest,
    ):  # fmt: skip
        assert words in found.text, words
    links = [attributes.get("href", "") for attributes in found.all("a")]
    assert f"/pay/{invoice.pay_token}/document" in links
    assert any(link.startswith("ethereum:0x") and link.endswith("uint256=20000000") for link in links)
    assert len(codes(found)) == 2 and all(one["role"] == "img" for one in found.all("svg"))


def test_the_page_is_small_and_asks_nobody_else(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    found = page(anybody, invoice)
    own = {one["src"] for one in found.all("script")} | {one["href"] for one in found.all("link")}
    assert all(path.startswith("/static/") for path in own) and len(own) == 4
    everything = [anybody.get(path).content for path in [*own, f"/pay/{invoice.pay_token}"]]
    assert sum(map(len, everything)) < 60_000
    for content in everything:
        addresses = set(re.findall(rb"https?://[^\"' )]+", content)) - {b"http://www.w3.org/2000/svg"}
        assert not addresses
    for tag, attributes in found.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert not found.all("style") and not found.all("form") and not found.all("img")


def test_the_page_is_usable_by_everybody(scene: Scene, anybody: Client) -> None:
    """A language, one h1, no heading skipped, ids once, labels that exist, a live region for the status."""
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 5_000_000)
    found = page(anybody, invoice)
    assert found.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for _, attributes in found.tags if "aria-labelledby" in attributes} <= set(
        ids
    )
    assert any(one.get("role") == "status" and one.get("aria-live") == "polite" for one in found.all("div"))
    assert all(one.get("aria-label", "").startswith("Copy the ") for one in found.all("button"))
    assert all("aria-label" in one for one in found.all("progress"))


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "'; DROP TABLE invoice; --", "a&b<b>"],
)
def test_a_hostile_name_is_only_text(scene: Scene, anybody: Client, name: str) -> None:
    (invoice,) = scene.invoiced("acme", name=name)
    found = page(anybody, invoice)
    assert name in found.text
    assert len(found.all("script")) == SCRIPTS and not found.all("img") and "onerror" not in str(found.tags)


def test_a_hostile_issuer_and_reason_are_only_text(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="<script>alert(2)</script>", actor="test")
    found = page(anybody, invoice)
    assert "<script>alert(2)</script>" in found.text and len(found.all("script")) == SCRIPTS


def test_a_choice_that_is_made_is_kept_and_a_strange_one_is_not_shown(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    for query in ("", "?pay=31337-USDC", "?pay=1-NOPE", "?pay=<script>", "?pay="):
        found = page(anybody, invoice, query)
        (chosen,) = [one for one in found.all("a") if one.get("aria-current") == "true"]
        assert chosen["href"] == "?pay=31337-USDC"
        assert len(found.all("script")) == SCRIPTS and "NOPE" not in found.text


@pytest.mark.parametrize(
    "token", ["x", "x" * 43, "a b" * 10, "%00" * 8, "..%2f..%2fetc", "ü" * 30, "x" * 3000, "%ff" * 25]
)
def test_an_unknown_token_gets_a_calm_page(anybody: Client, token: str) -> None:
    answer = anybody.get(f"/pay/{token}")
    assert answer.status_code in (400, 404) and "Traceback" not in answer.text
    if answer.status_code == 404:
        assert "This invoice was not found" in answer.text
        assert answer.headers["X-Robots-Tag"].startswith("noindex")
    for part in ("status", "document"):
        other = anybody.get(f"/pay/{token}/{part}")
        assert other.status_code in (400, 404)


def test_the_document_of_a_page_is_the_stored_one_and_verifies(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    answer = anybody.get(f"/pay/{invoice.pay_token}/document")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="INV-000001.json"'
    staff = scene.client(KeyRole.AUDITOR).get("/api/v1/invoices/INV-000001/document")
    assert answer.content == staff.content
    assert scene.app.wallet is not None
    shown = re.search(r"--address (0x[0-9a-fA-F]{40})", page(anybody, invoice).text)
    assert shown is not None
    assert verify(answer.content, [scene.app.wallet.pin()], parse_address(shown.group(1))).genuine
    assert not verify(answer.content, [], invoice.address).genuine, "without the pin nothing is proven"


def test_a_payment_from_seen_to_paid(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    before = status(anybody, invoice)
    assert (before["state"], before["amount_remaining"], before["transfers"]) == ("waiting", "20.00", [])
    tx_hash = scene.pay(invoice, 20_000_000)
    seen = status(anybody, invoice)
    assert (seen["state"], seen["confirmations"], seen["confirmations_needed"]) == ("detected", 1, 3)
    assert (seen["amount_detected"], seen["amount_paid"], seen["amount_remaining"]) == ("20.00", "0.00", "20.00")
    found = page(anybody, invoice)
    assert "20.00 USDC on Anvil: 1 of 3 confirmations" in found.text and tx_hash in found.text
    assert "Send exactly" not in found.text, "nobody is asked to pay twice"
    scene.mine(1)
    assert status(anybody, invoice)["confirmations"] == 2
    scene.mine(1)
    paid = status(anybody, invoice)
    assert (paid["state"], paid["amount_paid"], paid["amount_remaining"]) == ("paid", "20.00", "0.00")
    assert paid["settled"] is False
    scene.mine(10)
    final = status(anybody, invoice)
    assert final["settled"] is True and final["transfers"][0]["status"] == "final"
    found = page(anybody, invoice)
    for words in ("Receipt", tx_hash, "20.00 USD paid; final", "Nothing remains to be paid", checksum(SENDER)):
        assert words in found.text
    versions = [one["version"] for one in (before, seen, paid, final)]
    assert len(set(versions)) == 4, "the script sees each change"


def test_the_version_on_the_page_is_the_one_of_the_status(scene: Scene, anybody: Client) -> None:
    """Else the script would load the page again and again, or never."""
    (invoice,) = scene.invoiced("acme")
    for _ in range(2):
        (main,) = page(anybody, invoice).all("main")
        assert main["data-version"] == status(anybody, invoice)["version"] == status(anybody, invoice)["version"]
        scene.pay(invoice, 1_000_000)


def test_a_reorganisation_opens_it_again(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    assert status(anybody, invoice)["state"] == "paid"
    scene.orphan()
    again = status(anybody, invoice)
    assert (again["state"], again["notes"], again["amount_remaining"]) == ("waiting", ["taken_back"], "20.00")
    assert "no longer part of its chain" in page(anybody, invoice).text


def test_part_over_and_dust(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 7_123_456)
    scene.mine(3)
    part = status(anybody, invoice)
    assert (part["state"], part["amount_paid"], part["amount_remaining"]) == ("part_paid", "7.12", "12.88")
    found = page(anybody, invoice)
    assert "Send exactly 12.88 USDC" in found.text and "7.123456 USDC" in found.text
    scene.pay(invoice, 100)
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    over = status(anybody, invoice)
    assert (over["state"], over["amount_credited"], over["notes"]) == ("overpaid", "7.12", ["credit_not_final"])
    found = page(anybody, invoice)
    assert "7.12 USD more than was due came in" in found.text and "Too little to count" in found.text


def test_dust_does_not_hide_a_payment_nor_fill_the_page(
    scene: Scene, anybody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can send dust to an address; the newest transfers are shown, and all of them counted."""
    monkeypatch.setattr(view, "RECEIPTS_MAX", 2)
    (invoice,) = scene.invoiced("acme")
    for _ in range(3):
        scene.pay(invoice, 1)
    tx_hash = scene.pay(invoice, 20_000_000)
    found = status(anybody, invoice)
    assert (found["state"], found["amount_detected"], found["transfers_total"]) == ("detected", "20.00", 4)
    assert [one["tx_hash"] for one in found["transfers"]][1:] == [tx_hash] and len(found["transfers"]) == 2
    shown = page(anybody, invoice)
    assert "2 older transfers are not shown" in shown.text and shown.text.count("Transaction 0x") == 2


def test_one_code_is_shown_at_once_and_both_can_be_reached(scene: Scene, anybody: Client) -> None:
    """Two codes side by side would let a camera choose. The choice needs no script."""
    (invoice,) = scene.invoiced("acme")
    found = page(anybody, invoice)
    radios = [one for one in found.all("input") if one.get("type") == "radio"]
    assert [("checked" in one, one["name"]) for one in radios] == [(True, "code"), (False, "code")]
    assert [one["for"] for one in found.all("label")] == [one["id"] for one in radios]
    assert [one["class"] for one in found.all("figure") if one["class"] != "chart"] == [one["id"] for one in radios]


def test_amounts_are_not_said_twice_while_nothing_has_come(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    assert "Remaining" not in page(anybody, invoice).text
    scene.pay(invoice, 5_000_000)
    assert "Remaining after that 15.00 USD" in page(anybody, invoice).text


def test_a_wrong_token_is_named_and_does_not_count(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.pay(invoice, 7 * 10**18, token=WATCHED)
    assert status(anybody, invoice)["state"] == "wrong_token"
    scene.mine(3)
    found = status(anybody, invoice)
    assert (found["state"], found["notes"]) == ("wrong_token", ["wrong_token", "needs_person"])
    shown = page(anybody, invoice)
    assert "7.00 OUSD" in shown.text and "It is not lost" in shown.text and "Send exactly 20.00 USDC" in shown.text


def test_a_void_invoice_says_so_and_leads_to_its_replacement(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="wrong price", actor="test")
    (replacement,) = scene.app.issuer.run(invoice.period, "acme", actor="test")
    found = page(anybody, invoice)
    assert "Void: do not pay" in found.text and "INV-CN-000001 (wrong price)" in found.text
    assert "Send exactly" not in found.text and not codes(found)
    assert f"/pay/{replacement.pay_token}" in [one.get("href") for one in found.all("a")]
    scene.pay(invoice, 20_000_000)
    assert status(anybody, invoice)["notes"] == ["after_void", "needs_person"]
    assert "This invoice replaces INV-000001" in page(anybody, replacement).text


def test_an_overdue_invoice_can_still_be_paid(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.clock.advance(timedelta(days=20))
    assert status(anybody, invoice)["state"] == "late"
    assert "Overdue" in page(anybody, invoice).text and "Send exactly 20.00 USDC" in page(anybody, invoice).text


def test_credit_that_covers_an_invoice_leaves_nothing_to_pay(scene: Scene, anybody: Client) -> None:
    scene.meter("acme")
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant_credit (tenant_id, kind, currency, units, reference, created_at, final_at)"
                " SELECT id, 'promotional', 'USD', 3000, 'welcome', now(), now() FROM tenant"
            )
        )
    (invoice,) = scene.issue()
    assert (status(anybody, invoice)["state"], status(anybody, invoice)["settled"]) == ("nothing_due", True)
    found = page(anybody, invoice)
    for words in ("Nothing to pay", "Credit used: promotional −20.00", "Amount due 0.00 USD", "Nothing is due on it"):
        assert words in found.text, words
    assert not codes(found)


def test_a_chain_that_is_far_behind_is_said(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    assert "The newest block" not in page(anybody, invoice).text
    version = status(anybody, invoice)["version"]
    scene.clock.advance(timedelta(minutes=16))
    assert "it is not lost" in page(anybody, invoice).text
    assert status(anybody, invoice)["version"] != version


def test_a_stopped_chain_is_said_without_its_reason(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    scene.stop_chain()
    found = page(anybody, invoice)
    assert "shows up later than usual" in found.text and "secret" not in found.text


def test_a_page_may_be_asked_for_without_its_body(scene: Scene, anybody: Client) -> None:
    (invoice,) = scene.invoiced("acme")
    assert anybody.ask("HEAD", f"/pay/{invoice.pay_token}").status_code == 200
    assert anybody.ask("POST", f"/pay/{invoice.pay_token}").status_code == 405


def test_a_long_invoice_shows_so_many_lines_and_says_where_the_rest_is(
    scene: Scene, anybody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "LINES_MAX", 0)
    (invoice,) = scene.invoiced("acme")
    found = page(anybody, invoice)
    assert "1 more line is in the PDF" in found.text and "NVIDIA H100" not in found.text
    assert "Amount due 20.00 USD" in found.text


def test_the_chart_shows_the_days_of_those_for_whom_it_is_paid_and_of_nobody_else(
    app: App, scene: Scene, anybody: Client
) -> None:
    """Ten hours of the payer and ten of its customer from midnight of the first day."""
    scene.meter("acme", "north", "beta", hours=30)
    with app.database.transaction() as session:
        session.execute(
            text("UPDATE tenant SET reseller_id = (SELECT id FROM tenant WHERE slug = 'acme') WHERE slug = 'north'")
        )
    invoices = {one.tenant: one for one in scene.issue()}
    assert set(invoices) == {"acme", "beta"}
    source = anybody.get(f"/pay/{invoices['acme'].pay_token}").text
    titles = re.findall(r"<title>(\d+ Oct: [0-9.]+)</title>", source)
    assert titles[:3] == ["1 Oct: 48.00", "2 Oct: 12.00", "3 Oct: 0.00"] and len(titles) == 31
    assert "at most 48.00 on 1 Oct" in source

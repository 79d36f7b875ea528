"""Rates that payers are promised, on a real node: a euro token pays dollars by a feed, and a dollar token beyond its limit."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from sqlalchemy import text

from billing.core.errors import Conflict
from billing.core.onchain import Address, checksum, selector
from billing.invoicing import document as documents
from billing.invoicing import store as invoicing
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.quotes import store as quotes
from billing.reconciliation import store as payments
from billing.web.api.invoices import PaymentOption, Today, payment_options
from billing.web.app import create_app
from tests.journeys.test_tokens_and_credit import reconfigured
from tests.web.client import Client
from tests.world import World, issued, world

STALE = 3600
LIFE = timedelta(minutes=15)


class Desk:
    """October's invoice of 200.00 USD. `euro` is worth what a feed says; USDC is par within one percent of another feed."""

    def __init__(self, made: World, prices: str = "token") -> None:
        self.made = made
        self.euros, self.dollars = (made.node.deploy("TestFeed", 8, name) for name in ("EUR / USD", "USDC / USD"))
        self.prices, self._round = prices, 0
        self._open()
        reconfigured(made, lambda tokens: [self._priced(token) for token in tokens])
        (self.invoice,) = issued(made, "acme")
        made.node.request("evm_setNextBlockTimestamp", [int(made.clock.now().timestamp())])
        self._open()

    def _open(self) -> None:
        self.answer("1.10" if self.prices == "token" else "0.80")
        self.answer("1.00", self.dollars)

    def _priced(self, token: dict[str, Any]) -> dict[str, Any]:
        terms = {"feed_decimals": 8, "feed_staleness_seconds": STALE}
        if token["symbol"] == "OUSD":
            rate = {**terms, "feed": self.euros, "currency": "USD", "prices": self.prices}
            return {**token, "listing": "accept", "currency": "EUR", "rates": [rate]}
        return {**token, **terms, "par_limit": "0.01", "feed": self.dollars} if token["symbol"] == "USDC" else token

    def answer(self, price: str, feed: Address | None = None) -> None:
        self._round += 1
        data = encode(["uint80", "int256"], [self._round, int(Decimal(price) * 10**8)])
        self.made.node.send(feed or self.euros, selector("answer(uint80,int256)") + data)

    def quote(self) -> dict[str, str]:
        """Why what was not quoted."""
        self.catch_up()
        return self.made.app.quote(31337).without

    def catch_up(self) -> None:
        """Our clock shows what the chain's does."""
        head = self.made.node.block("latest")
        assert head is not None
        self.made.clock.move_to(max(head.mined_at, self.made.clock.now()))

    def later(self, seconds: int) -> None:
        self.made.node.request("evm_increaseTime", [seconds])
        self.made.node.mine()
        self.catch_up()

    def asked(self) -> dict[str, PaymentOption]:
        with self.made.app.database.transaction() as session:
            document = documents.parse(invoicing.document(session, self.invoice.id))
            assert isinstance(document, InvoiceDocument)
            offered = {(one.chain_id, one.token_address) for one in document.settlement}
            today = Today(offered, quotes.newest(session, self.made.clock.now()))
        options = payment_options(self.now(), document, self.now().remaining, today)
        return {option.token: option for option in options}

    def now(self) -> Invoice:
        return self.made.invoice(self.invoice.number)

    def pay(self, option: PaymentOption) -> None:
        self.made.node.transfer(Address(option.token_address.lower()), option.address, int(option.amount_units))

    def paid(self) -> list[dict[str, Any]]:
        with self.made.app.database.transaction() as session:
            return payments.payments(session)

    def questions(self) -> list[dict[str, Any]]:
        with self.made.app.database.transaction() as session:
            return payments.exceptions(session)


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


@pytest.fixture
def desk(made: World) -> Desk:
    return Desk(made)


def test_what_was_asked_for_pays_the_invoice_though_the_feed_fell_before_the_block(made: World, desk: Desk) -> None:
    assert desk.quote() == {}
    option = desk.asked()["OUSD"]
    assert (option.rate, int(option.amount_units)) == ("1.1", 181_818_182 * 10**12), (
        "rounded up to what people can copy"
    )
    assert option.rate_until is not None
    desk.answer("1.02")
    desk.pay(option)
    made.settle()
    assert desk.now().status is InvoiceStatus.PAID
    (one,) = desk.paid()
    assert (one["rate"], one["value_units"], one["applied_units"]) == (Decimal("1.1"), 20_000, 20_000)
    assert one["rate_source"].endswith("round 3") and one["kind"] == "exact"
    assert made.balance("fx") == made.balance("tenant_credit") == 0
    assert made.balance("conversion") == 20_000
    assert made.balance("conversion", "31337:OUSD") == -int(option.amount_units)
    assert made.findings() == []


def test_the_page_says_the_rate_and_counts_what_is_on_its_way_by_it(made: World, desk: Desk) -> None:
    desk.quote()
    web, page = Client(create_app(made.app)), f"/pay/{desk.now().pay_token}"
    shown = web.get(page, params={"pay": "31337-OUSD"}).text
    assert "One OUSD counts as 1.1 USD if the payment is in a block before" in shown
    before = web.json(f"{page}/status")["version"]
    desk.answer("1.00")
    desk.pay(desk.asked()["OUSD"])
    made.follow()
    found = web.json(f"{page}/status")
    assert (found["state"], found["amount_detected"]) == ("detected", "200.00") and found["version"] != before
    desk.later(int(LIFE.total_seconds()))
    assert web.json(f"{page}/status")["amount_detected"] == "200.00", "it was in time"
    desk.quote()
    assert web.json(f"{page}/status")["amount_detected"] == "200.00"


def test_the_page_changes_when_the_rate_does(made: World, desk: Desk) -> None:
    web, page = Client(create_app(made.app)), f"/pay/{desk.now().pay_token}"
    assert "OUSD</strong>" not in web.get(page).text
    before = web.json(f"{page}/status")["version"]
    desk.quote()
    assert web.json(f"{page}/status")["version"] != before and "OUSD</strong>" in web.get(page).text


def test_a_quote_that_is_over_promises_nothing(made: World, desk: Desk) -> None:
    desk.quote()
    option = desk.asked()["OUSD"]
    desk.answer("1.00")
    desk.later(int(LIFE.total_seconds()))
    assert "OUSD" not in desk.asked(), "nobody knows what to ask for"
    desk.pay(option)
    made.settle()
    (one,) = desk.paid()
    assert one["rate"] == 1 and desk.now().remaining == 20_000 - 18_181
    assert desk.quote() == {}
    desk.pay(desk.asked()["OUSD"])
    made.settle()
    assert desk.now().status is InvoiceStatus.PAID and made.balance("fx") == 0 and made.findings() == []


def test_who_waits_gets_the_better_of_the_promise_and_the_feed(made: World, desk: Desk) -> None:
    desk.quote()
    option = desk.asked()["OUSD"]
    desk.answer("1.21")
    desk.pay(option)
    made.settle()
    assert [one["rate"] for one in desk.paid()] == [Decimal("1.21")]
    assert desk.now().status is InvoiceStatus.PAID and made.balance("tenant_credit") == -2_000
    assert made.findings() == []


def test_a_feed_that_prices_the_currency_is_turned_round(made: World) -> None:
    desk = Desk(made, "currency")
    desk.quote()
    option = desk.asked()["OUSD"]
    assert (option.rate, option.amount_units) == ("1.25", str(160 * 10**18))
    desk.pay(option)
    made.settle()
    assert desk.now().status is InvoiceStatus.PAID and made.findings() == []


def test_a_chain_whose_clock_is_a_little_behind_ours_costs_nobody_the_promise(made: World, desk: Desk) -> None:
    desk.catch_up()
    made.clock.move_to(made.clock.now() + timedelta(seconds=40))
    made.app.quote(31337)
    option = desk.asked()["OUSD"]
    desk.answer("1.00")
    desk.pay(option)
    (tip, now) = (made.node.block("latest"), made.clock.now())
    assert tip is not None and tip.mined_at < now
    made.settle()
    assert [one["rate"] for one in desk.paid()] == [Decimal("1.1")]


def test_without_a_round_nothing_is_asked_for_and_what_was_promised_holds(made: World, desk: Desk) -> None:
    desk.quote()
    option = desk.asked()["OUSD"]
    desk.answer("0")
    desk.later(int(LIFE.total_seconds()) // 2)
    assert desk.quote() == {"OUSD/USD": f"feed {checksum(desk.euros)} round 5 answers 0"}
    assert desk.asked()["OUSD"].rate_until == option.rate_until, "the old promise stands"
    desk.pay(option)
    made.settle()
    assert desk.now().status is InvoiceStatus.PAID and desk.questions() == []


def test_a_stale_feed_is_not_quoted_and_a_payment_is_a_question(made: World, desk: Desk) -> None:
    desk.later(STALE + 60)
    desk.answer("1.00", desk.dollars)
    (why,) = desk.quote().values()
    assert "was stale" in why and "OUSD" not in desk.asked()
    made.node.transfer(made.other, str(desk.invoice.address), 100 * 10**18)
    made.settle()
    assert [one["kind"] for one in desk.questions()] == ["no_rate"] and desk.now().remaining == 20_000


def test_beyond_the_limit_the_payer_is_asked_what_the_token_is_worth(made: World, desk: Desk) -> None:
    desk.quote()
    assert (desk.asked()["USDC"].rate, desk.asked()["USDC"].rate_until) == ("1", None)
    desk.answer("0.90", desk.dollars)
    desk.later(int(LIFE.total_seconds()) // 2)
    desk.quote()
    option = desk.asked()["USDC"]
    assert (option.rate, option.amount_units) == ("0.9", "222222223")
    desk.pay(option)
    made.settle()
    assert desk.now().status is InvoiceStatus.PAID
    assert made.balance("fx") == -2_222 and made.balance("tenant_credit") == 0 and made.findings() == []


def test_within_the_limit_nothing_is_promised_so_a_fall_counts_at_once(made: World, desk: Desk) -> None:
    desk.quote()
    option = desk.asked()["USDC"]
    desk.answer("0.90", desk.dollars)
    desk.pay(option)
    made.settle()
    assert desk.now().remaining == 2_000 and made.findings() == []


def test_a_payment_that_left_the_chain_and_comes_after_the_quote_has_its_own_rate(made: World, desk: Desk) -> None:
    desk.quote()
    option = desk.asked()["OUSD"]
    desk.answer("1.00")
    desk.pay(option)
    made.settle(3)
    assert desk.now().status is InvoiceStatus.PAID
    made.node.reorg(4)
    made.follow()
    assert desk.now().status is InvoiceStatus.OPEN
    desk.later(int(LIFE.total_seconds()) + 60)
    desk.pay(option)
    made.settle()
    assert [one["rate"] for one in desk.paid() if one["disposition"] == "matched"] == [1]
    assert desk.now().status is InvoiceStatus.OPEN and made.findings() == []


def test_quotes_are_renewed_after_half_of_their_life_and_never_changed(made: World, desk: Desk) -> None:
    desk.quote()
    assert desk.quote() == {} and _rows(made) == 2, "one a feed"
    desk.later(int(LIFE.total_seconds()) // 2)
    desk.quote()
    assert _rows(made) == 4
    with pytest.raises(Conflict, match="quote is append only"), made.app.database.transaction() as session:
        session.execute(text("UPDATE quote SET rate = 2"))
    ends = [_until(one) for one in desk.asked().values() if one.rate_until]
    assert all(end - made.clock.now() >= LIFE / 2 for end in ends)


def _rows(made: World) -> int:
    with made.app.database.transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM quote")).scalar_one())


def _until(option: PaymentOption) -> datetime:
    return datetime.fromisoformat(str(option.rate_until))

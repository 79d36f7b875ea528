"""A token is par as long as its feed says so: at the block of each payment, with what was recorded then."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from billing.core.errors import Invalid, Unavailable
from billing.core.onchain import Address, selector
from billing.core.period import month
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation import store as payments
from billing.reconciliation.resolver import Credited, Resolution
from tests.journeys.test_reorgs import rows, transaction
from tests.journeys.test_tokens_and_credit import reconfigured
from tests.world import World, issued, usd, world

STALE = 3600


class Priced:
    """October's invoice of 200.00 USD, payable in USDC at par within one percent of a feed."""

    def __init__(self, made: World) -> None:
        self.made, self.feed = made, made.node.deploy("TestFeed", 8, "USDC / USD")
        self.answer(1, "1.00")
        reconfigured(made, lambda tokens: [self.priced(token) for token in tokens])
        (self.invoice,) = issued(made, "acme")
        assert self.invoice.address is not None
        self.address: Address = self.invoice.address
        self.answer(2, "1.00")

    def priced(self, token: dict[str, Any]) -> dict[str, Any]:
        terms = {"par_limit": "0.01", "feed": self.feed, "feed_decimals": 8, "feed_staleness_seconds": STALE}
        return {**token, **terms} if token["symbol"] == "USDC" else token

    def answer_data(self, number: int, price: str) -> bytes:
        answer = int(Decimal(price) * 10**8)
        return selector("answer(uint80,int256)") + encode(["uint80", "int256"], [number, answer])

    def answer(self, number: int, price: str) -> None:
        self.made.node.send(self.feed, self.answer_data(number, price))

    def tell(self, function: str, *values: int) -> None:
        types = function[function.index("(") + 1 : -1].split(",")
        self.made.node.send(self.feed, selector(function) + encode(types, values))

    def pay(self, amount: str) -> None:
        self.made.node.transfer(self.made.usdc, self.address, usd(amount))

    def now(self) -> Invoice:
        return self.made.invoice(self.invoice.number)

    def payments(self) -> list[dict[str, Any]]:
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
def priced(made: World) -> Priced:
    return Priced(made)


@pytest.mark.parametrize("price", ["0.99", "1.01", "0.9999"])
def test_within_the_limit_a_token_is_par(made: World, priced: Priced, price: str) -> None:
    priced.answer(3, price)
    priced.pay("200.00")
    made.settle()
    assert priced.now().status is InvoiceStatus.PAID and made.balance("fx") == made.balance("tenant_credit") == 0
    (paid,) = priced.payments()
    assert (paid["rate"], paid["value_units"]) == (1, 20_000)
    assert paid["rate_source"].startswith("par within 0.01, feed 0x") and paid["rate_source"].endswith("round 3")
    assert paid["rate_at"] is not None and made.findings() == []


def test_beyond_the_limit_the_feeds_rate_counts_and_the_difference_is_fx(made: World, priced: Priced) -> None:
    priced.answer(3, "0.90")
    priced.pay("200.00")
    made.settle(3)
    assert (priced.now().status, priced.now().remaining) == (InvoiceStatus.OPEN, 2_000)
    assert made.balance("fx") == -2_000 and made.balance("conversion") == 20_000
    priced.pay("33.34")  # 30.006 at 0.90: the rest, and 10.00 too much
    made.settle()
    assert priced.now().status is InvoiceStatus.PAID and made.balance("tenant_credit") == -1_000
    assert {one["rate"] for one in priced.payments()} == {Decimal("0.9")}
    row, _ = made.app.reporter.reconciliation_rows(month(2026, 10))
    assert (row.rate, row.value, row.rate_source[-7:]) == ("0.9", "180.00", "round 3")
    assert made.findings() == []


def test_a_token_that_is_worth_more_pays_more(made: World, priced: Priced) -> None:
    priced.answer(3, "1.25")
    priced.pay("160.00")
    made.settle()
    assert priced.now().status is InvoiceStatus.PAID
    assert made.balance("fx") == 4_000 and made.balance("conversion") == 16_000 and made.findings() == []


def test_the_round_of_the_payments_block_counts_not_the_newest(made: World, priced: Priced) -> None:
    priced.pay("200.00")
    priced.answer(3, "0.50")
    made.settle()
    assert priced.now().status is InvoiceStatus.PAID


@pytest.mark.parametrize(
    ("function", "values", "reason"),
    [
        ("answer(uint80,int256)", (3, 0), "answers 0"),
        ("answer(uint80,int256)", (3, -5), "answers -5"),
        ("write(uint80,int256,uint256,uint80)", (3, 10**8, 0, 3), "not complete"),
        ("write(uint80,int256,uint256,uint80)", (3, 10**8, 1_000, 3), "stale"),
        ("write(uint80,int256,uint256,uint80)", (3, 10**8, 1_000, 2), "not complete"),
        ("setLatest(uint80)", (99,), "has no round at block"),
        ("setDecimals(uint8)", (18,), "has 18 decimals, not 8"),
    ],
)
def test_without_a_good_round_a_person_decides_and_the_money_waits_in_suspense(
    made: World, priced: Priced, function: str, values: tuple[int, ...], reason: str
) -> None:
    priced.tell(function, *values)
    priced.pay("200.00")
    made.settle()
    (asked,) = priced.questions()
    assert asked["kind"] == "no_rate" and reason in asked["detail"]
    assert priced.now().remaining == 20_000 and made.balance("suspense", "31337:USDC") == -usd("200.00")
    with pytest.raises(Invalid, match="--rate says what one token is worth"):
        made.app.resolver.resolve(asked["id"], Resolution.CREDIT, reason="paid", actor="finance")
    made.app.resolver.resolve(
        asked["id"], Resolution.CREDIT, reason="as on the exchange", actor="finance",
        credited=Credited(rate=Decimal("0.98")),
    )  # fmt: skip
    assert made.balance("tenant_credit") == -19_600 and made.balance("suspense", "31337:USDC") == 0
    (paid,) = priced.payments()
    assert paid["rate"] == Decimal("0.98") and paid["rate_source"].startswith("person, ")
    assert made.findings() == []


def test_a_round_that_became_stale_on_the_way_is_no_rate(made: World, priced: Priced) -> None:
    made.node.request("evm_increaseTime", [STALE + 60])
    priced.pay("200.00")
    made.settle()
    (asked,) = priced.questions()
    assert "was stale" in asked["detail"] and f"{STALE} s are allowed" in asked["detail"]


def test_a_reorganisation_to_a_block_with_another_round_values_the_payment_anew(made: World, priced: Priced) -> None:
    priced.pay("200.00")
    made.node.mine(2)
    made.follow()
    assert priced.now().status is InvoiceStatus.PAID
    told = transaction(made, made.usdc, 0) | {
        "to": priced.feed,
        "data": "0x" + priced.answer_data(3, "0.80").hex(),
        "from": made.node.accounts[1],
    }
    made.node.reorg(3, [(told, 0), (transaction(made, priced.address, usd("200.00")), 1)])
    made.settle()
    assert (priced.now().status, priced.now().remaining) == (InvoiceStatus.OPEN, 4_000)
    assert made.balance("fx") == -4_000 and made.findings() == []


def test_a_suspended_payment_that_moves_to_a_block_with_a_round_pays(made: World, priced: Priced) -> None:
    priced.tell("setLatest(uint80)", 0)
    priced.pay("200.00")
    made.node.mine(2)
    made.follow()
    assert len(priced.questions()) == 1
    made.node.reorg(4, [(transaction(made, priced.address, usd("200.00")), 1)])
    made.settle()
    assert priced.questions() == [] and priced.now().status is InvoiceStatus.PAID and made.findings() == []


def test_while_no_endpoint_tells_the_rate_the_payment_waits_and_others_do_not(
    made: World, priced: Priced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> Any:
        raise Unavailable("no endpoint answers")

    priced.pay("150.00")
    made.node.transfer(made.usdt, priced.address, usd("50.00"))
    with monkeypatch.context() as patch:
        patch.setattr("billing.quotes.reader.FeedReader.rate", silent)
        made.settle(3)
        assert made.app.reconciler.tick().waiting == 1
    assert priced.now().remaining == 15_000 and priced.questions() == []
    made.clock.move_to(made.clock.now() + timedelta(seconds=31))  # the chain was left alone for a while
    made.settle()
    assert priced.now().status is InvoiceStatus.PAID and made.findings() == []


def test_a_limit_that_was_taken_out_of_the_settings_still_holds_for_older_documents(
    made: World, priced: Priced
) -> None:
    plain = {"par_limit": "", "feed": "", "feed_decimals": 0, "feed_staleness_seconds": 0}
    reconfigured(made, lambda tokens: [{**token, **plain} for token in tokens])
    priced.answer(3, "0.90")
    priced.pay("200.00")
    made.settle()
    assert rows(made, "SELECT rate FROM payment") == [(Decimal("0.9"),)] and priced.now().remaining == 2_000

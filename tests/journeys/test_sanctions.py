"""Money whose sender is on a list is held: never credited, never swept, until a person lets it through."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from billing.compliance import store as compliance
from billing.core.errors import Conflict, Invalid
from billing.core.onchain import Address, checksum, selector
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation import store as payments
from billing.reconciliation.resolver import Resolution
from billing.trail.store import about
from billing.treasury.planner import Wish
from billing.wallets.forwarder import flush_calldata
from tests.journeys.test_reorgs import rows, transaction
from tests.world import World, issued, usd, world

STRANGER = "0x" + "ab" * 20


class Screened:
    """October's invoice of 200.00 USD of acme. Account 0 pays, and is on the list if a test says so."""

    def __init__(self, made: World, folder: Path) -> None:
        self.made, self.file = made, folder / "ofac.txt"
        self.write(STRANGER)

    def write(self, *addresses: str) -> None:
        self.file.write_text("# sanctioned\n" + "".join(f"{one}\n" for one in addresses))

    def start(self, **compliance: Any) -> None:
        given = self.made.settings.model_dump()
        given["database"]["url"] = self.made.settings.database.url.get_secret_value()
        given["compliance"] = {"lists": [{"name": "ofac", "path": self.file}], **compliance}
        self.made.settings = type(self.made.settings)(**given)
        self.made.again()
        (self.invoice,) = issued(self.made, "acme")
        assert self.invoice.address is not None
        self.address: Address = self.invoice.address

    def pay(self, amount: str, *, sender: int = 0) -> None:
        self.made.node.transfer(self.made.usdc, self.address, usd(amount), sender=sender)

    def now(self) -> Invoice:
        return self.made.invoice(self.invoice.number)

    def payments(self) -> list[tuple[str, int]]:
        with self.made.app.database.transaction() as session:
            return [(one["disposition"], one["applied_units"]) for one in payments.payments(session)]

    def questions(self, status: str | None = "open") -> list[dict[str, Any]]:
        with self.made.app.database.transaction() as session:
            return payments.exceptions(session, status=status)

    def held(self) -> int:
        return -self.made.balance("held:31337", "31337:USDC")

    def resolve(self, how: Resolution, reason: str = "it is another one") -> str:
        question = next(one for one in self.questions(None) if one["kind"] == "held_sender")
        return self.made.app.resolver.resolve(question["id"], how, reason=reason, actor="officer")


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


@pytest.fixture
def screened(made: World, tmp_path: Path) -> Screened:
    return Screened(made, tmp_path)


def sweep(made: World) -> Any:
    return made.app.planner.plan(made.app.watchers[31337], Wish({made.usdc: 1}, with_suspense=True))


def test_a_sender_on_a_list_is_held_and_not_swept_until_a_person_lets_it_through(
    made: World, screened: Screened
) -> None:
    screened.write(STRANGER, checksum(made.node.accounts[0]).upper().replace("0X", "0x"))
    screened.start()
    screened.pay("200.00")
    screened.pay("50.00", sender=1)
    made.settle()
    assert screened.payments() == [("held", 0), ("matched", 5_000)]
    assert (screened.now().status, screened.now().remaining) == (InvoiceStatus.OPEN, 15_000)
    assert screened.held() == usd("200.00") and made.balance("conversion", "31337:USDC") == -usd("50.00")
    (question,) = screened.questions()
    sender = checksum(made.node.accounts[0])
    assert question["detail"] == f"200.000000 USDC are held: the sender {sender} is on list ofac"
    assert (question["kind"], question["invoice"], question["tenant"]) == ("held_sender", "INV-000001", "acme")
    with made.app.database.transaction() as session:
        (deed,) = about(session, "transfer 1/1")
    assert (deed.actor, deed.action, deed.details["address"]) == ("daemon", "payment.hold", sender)
    plan = sweep(made)
    assert plan.batches == plan.suspended == [] and [one.address for one in plan.held] == [screened.address]
    assert made.findings() == []
    screened.resolve(Resolution.RELEASE)
    made.follow()
    assert screened.payments() == [("matched", 20_000), ("matched", 0)], "as if it had counted when it was mined"
    assert screened.now().status is InvoiceStatus.PAID and screened.held() == 0
    assert made.balance("tenant_credit") == -5_000
    assert len(sweep(made).batches) == 1 and made.findings() == []
    with pytest.raises(Conflict, match="was resolved by officer"):
        screened.resolve(Resolution.RELEASE)


def test_what_a_person_keeps_stays_held_and_cannot_be_credited_or_sent_back(made: World, screened: Screened) -> None:
    screened.write(made.node.accounts[0])
    screened.start()
    screened.pay("200.00")
    made.settle()
    for how in (Resolution.CREDIT, Resolution.REFUND):
        with pytest.raises(Invalid, match="held money is released or stays held"):
            screened.resolve(how)
    assert screened.resolve(Resolution.ACKNOWLEDGE, "frozen by order 7") == "nothing was booked"
    made.follow()
    assert screened.payments() == [("held", 0)] and screened.held() == usd("200.00")
    assert [one.address for one in sweep(made).held] == [screened.address]
    screened.resolve(Resolution.RELEASE, "order 7 was lifted")
    made.follow()
    assert screened.now().status is InvoiceStatus.PAID and made.findings() == []


def test_whoever_signed_the_transaction_is_screened_too(made: World, screened: Screened) -> None:
    """Account 2 spends what account 0 allowed it: the tokens come from 0, the transaction from 2."""
    screened.write(made.node.accounts[2])
    screened.start()
    approve = selector("approve(address,uint256)") + encode(
        ["address", "uint256"], [made.node.accounts[2], usd("200.00")]
    )
    made.node.send(made.usdc, approve)
    spend = selector("transferFrom(address,address,uint256)")
    parties = [made.node.accounts[0], screened.address, usd("200.00")]
    made.node.send(made.usdc, spend + encode(["address", "address", "uint256"], parties), sender=2)
    made.settle()
    (question,) = screened.questions()
    assert f"the signer of the transaction {checksum(made.node.accounts[2])} is on list ofac" in question["detail"]
    assert screened.payments() == [("held", 0)] and made.findings() == []


def test_an_oracle_that_knows_the_sender_holds_it_and_one_that_is_silent_makes_it_wait(
    made: World, screened: Screened
) -> None:
    oracle = made.node.deploy("TestOracle")
    screened.start(oracles=[{"chain": "anvil", "address": oracle}])
    code = made.node.request("eth_getCode", [oracle, "latest"])
    made.node.request("anvil_setCode", [oracle, "0x"])
    screened.pay("200.00")
    made.settle()
    assert screened.payments() == [("unmatched", 0)] and screened.questions() == []
    assert screened.now().status is InvoiceStatus.OPEN
    plan = sweep(made)
    assert plan.batches == [] and len(plan.held) == 1, "nobody knows yet whether it may be swept"
    made.node.request("anvil_setCode", [oracle, code])
    made.node.send(oracle, selector("set(address,bool)") + encode(["address", "bool"], [made.node.accounts[0], True]))
    made.clock.move_to(made.clock.now() + timedelta(minutes=3))
    made.follow()
    assert screened.payments() == [("held", 0)]
    (question,) = screened.questions()
    assert question["detail"].endswith(f"is on oracle {checksum(oracle)}")
    screened.pay("200.00", sender=1)
    made.settle()
    assert screened.now().status is InvoiceStatus.PAID and made.findings() == []


def test_what_is_held_or_released_is_taken_back_with_its_block(made: World, screened: Screened) -> None:
    screened.write(made.node.accounts[0])
    screened.start()
    screened.pay("200.00")
    made.node.mine(3)
    made.follow()
    assert screened.held() == usd("200.00")
    made.node.reorg(4, [(transaction(made, screened.address, usd("200.00")), 2)])
    made.follow()
    made.node.mine(3)
    made.follow()
    assert screened.payments() == [("reversed", 0), ("held", 0)] and screened.held() == usd("200.00")
    assert [one["kind"] for one in screened.questions()] == ["held_sender"], "the first question is obsolete"
    question = screened.questions()[0]
    made.app.resolver.resolve(question["id"], Resolution.RELEASE, reason="a mistake", actor="officer")
    made.follow()
    assert screened.now().status is InvoiceStatus.PAID
    made.node.reorg(6)
    made.follow()
    assert screened.now().status is InvoiceStatus.OPEN and screened.held() == 0
    assert made.balance("deposit:31337:USDC", "31337:USDC") == made.balance("conversion", "31337:USDC") == 0
    made.settle()
    assert made.findings() == []


def test_held_money_that_somebody_flushes_stays_held_and_is_told(made: World, screened: Screened) -> None:
    screened.write(made.node.accounts[0])
    screened.start()
    screened.pay("200.00")
    made.settle()
    factory = made.app.wallet.factory  # type: ignore[union-attr]
    made.node.send(factory, flush_calldata([screened.invoice.digest], made.usdc), sender=3)
    made.settle()
    assert screened.held() == usd("200.00") == made.balance("treasury:31337:USDC", "31337:USDC")
    assert sorted(one["kind"] for one in screened.questions()) == ["held_moved", "held_sender"]
    assert made.findings() == []


def test_a_list_that_names_an_earlier_sender_asks_and_unbooks_nothing(made: World, screened: Screened) -> None:
    screened.start()
    screened.pay("150.00")
    made.settle()
    assert screened.payments() == [("matched", 15_000)] and screened.questions() == []
    screened.write(STRANGER, made.node.accounts[0])
    made.follow()
    (question,) = screened.questions()
    assert question["kind"] == "sanctioned_later" and checksum(made.node.accounts[0]) in question["detail"]
    assert screened.payments() == [("matched", 15_000)]
    screened.pay("50.00")
    made.settle()
    assert screened.payments() == [("matched", 15_000), ("held", 0)]
    screened.write(STRANGER, made.node.accounts[0], "0x" + "cd" * 20)
    made.follow()
    assert sorted(one["kind"] for one in screened.questions()) == ["held_sender", "sanctioned_later"], "asked once"
    assert made.findings() == []


def test_a_list_that_was_never_read_makes_payments_wait_and_one_that_breaks_still_counts(
    made: World, screened: Screened
) -> None:
    screened.file.unlink()
    screened.start()
    screened.pay("150.00", sender=1)
    made.settle()
    assert screened.payments() == [("unmatched", 0)]
    assert "never read: payments wait" in made.app.screener.alarms()["ofac"]
    screened.write(made.node.accounts[0])
    made.clock.move_to(made.clock.now() + timedelta(seconds=40))
    made.follow()
    assert screened.payments() == [("matched", 15_000)] and made.app.screener.alarms() == {}
    screened.file.write_text("0x12\n")
    made.again()  # another process has nothing in memory
    screened.pay("50.00")
    made.settle()
    assert screened.payments() == [("matched", 15_000), ("held", 0)]
    alarm = made.app.screener.alarms()["ofac"]
    assert "line 1: '0x12' is no address" in alarm and "counts" in alarm
    with made.app.database.transaction() as session:
        (known,) = compliance.lists(session)
    assert "line 1" in known["problem"] and known["addresses"] == 1


def test_every_payment_that_counted_was_screened_by_a_named_version(made: World, screened: Screened) -> None:
    screened.start()
    screened.pay("200.00")
    made.settle()
    digest = rows(made, "SELECT left(digest, 16) FROM sanctions_list")[0][0]
    sender = made.node.accounts[0]
    assert rows(made, "SELECT sender, signer, hit, screened_by FROM screening") == [
        (sender, sender, "", [f"ofac {digest}"])
    ]

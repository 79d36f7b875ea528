"""Tokens that are taken off the list still pay; credit that is used, given back or fought over is never lost or doubled."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.bootstrap import build
from billing.chain import store as chain_store
from billing.core.errors import Conflict
from billing.core.period import Span, month
from billing.fleet.gpu import DeviceKey
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation import store as payments
from billing.reconciliation.matching import allocate
from billing.reconciliation.resolver import Resolution
from billing.wallets import store as wallets
from tests.factories import NO_EXCLUSIONS, ScriptedSource, at, collector
from tests.journeys.test_reorgs import rows
from tests.world import World, issued, usd, world

NOVEMBER = month(2026, 11)


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def reconfigured(made: World, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """The daemon started again with other tokens."""
    given = made.settings.model_dump()
    given["database"]["url"] = made.settings.database.url.get_secret_value()
    given["chains"][0]["tokens"] = change(given["chains"][0]["tokens"])
    made.settings = type(made.settings)(**given)
    made.again()


def without(symbol: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda tokens: [token for token in tokens if token["symbol"] != symbol]


def test_a_token_taken_off_the_list_still_pays_what_it_was_accepted_for(made: World) -> None:
    acme, beta = issued(made, "acme", "beta")
    assert acme.address is not None and beta.address is not None
    made.node.transfer(made.usdt, acme.address, usd("200.00"))
    for watcher in made.app.watchers.values():
        watcher.sync()
    reconfigured(made, without("NRUSD"))
    made.node.transfer(made.usdc, beta.address, usd("200.00"))
    made.settle()
    assert {made.invoice(one.number).status for one in (acme, beta)} == {InvoiceStatus.PAID}


def test_a_token_that_is_only_watched_by_now_still_pays_older_invoices(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    reconfigured(made, lambda tokens: [{**t, "listing": "watch"} if t["symbol"] == "NRUSD" else t for t in tokens])
    made.node.transfer(made.usdt, invoice.address, usd("200.00"))
    made.settle()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID


def test_a_symbol_cannot_become_another_contract(made: World) -> None:
    issued(made, "acme")
    made.follow()
    reconfigured(
        made, lambda tokens: [{**t, "address": made.other} if t["symbol"] == "USDC" else t for t in tokens[:2]]
    )
    with pytest.raises(Conflict, match="USDC on chain 31337 is booked as"):
        made.follow()


def suspended(made: World) -> int:
    """A payment in a token that is not accepted; returns the exception's id."""
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.other, invoice.address, 7 * 10**18)
    made.settle()
    with made.app.database.transaction() as session:
        (asked,) = payments.exceptions(session)
    return int(asked["id"])


def test_money_in_suspense_is_refunded_although_its_token_was_taken_off_the_list(made: World) -> None:
    asked = suspended(made)
    reconfigured(made, without("OUSD"))
    made.app.resolver.resolve(asked, Resolution.REFUND, reason="sent by mistake", actor="finance")
    assert made.balance("refunds_payable", "31337:OUSD") == -7 * 10**18 and made.balance("suspense", "31337:OUSD") == 0


def test_what_was_acknowledged_may_still_be_decided_once(made: World) -> None:
    asked = suspended(made)
    made.app.resolver.resolve(asked, Resolution.ACKNOWLEDGE, reason="asked the payer", actor="finance")
    with pytest.raises(Conflict, match="was resolved by finance"):
        made.app.resolver.resolve(asked, Resolution.ACKNOWLEDGE, reason="again", actor="finance")
    made.app.resolver.resolve(asked, Resolution.REFUND, reason="the payer answered", actor="finance")
    assert made.balance("suspense", "31337:OUSD") == 0
    with pytest.raises(Conflict, match="was resolved by finance"):
        made.app.resolver.resolve(asked, Resolution.CREDIT, reason="no, credit", actor="finance")


def overpaid(made: World, amount: str) -> Invoice:
    """October's invoice, paid with too much, and usage in November that the credit can pay for."""
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd(amount))
    made.settle(20)
    span = Span(at(24, day=31), at(224, day=31))
    made.app.leaser.add("acme", span, uuids=["GPU-acme"], reference="november", actor="test")
    made.clock.move_to(at(24 * 32, day=31))
    source = ScriptedSource({DeviceKey("GPU-acme"): [(0, 10**11, "")]}, up=[(0, 10**11)], interval=3600)
    collecting = collector(made.app.database, made.clock, source, rule=NO_EXCLUSIONS)
    while collecting.tick(240).windows:
        pass
    return invoice


def earlier_transfer(made: World, units: int, state: str) -> None:
    """A transfer that comes before the others in chain order and is seen after them, as from a chain that lags."""
    with made.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO transfer (chain_id, block_hash, log_index, block_number, mined_at, tx_hash, token_address,"
                " from_address, to_address, units, state, incarnation, seen_at, state_at, settled)"
                " SELECT chain_id, '0x' || repeat('ab', 32), 0, block_number - 1, mined_at - interval '5 s',"
                " '0x' || repeat('cd', 32), token_address, from_address, to_address, :units, :state, 1, seen_at, state_at,"
                " false FROM transfer"
            ),
            {"units": units, "state": state},
        )
    made.app.reconciler.tick()


def test_credit_of_a_void_invoice_is_held_again_although_its_transfer_was_allocated_anew(made: World) -> None:
    overpaid(made, "250.00")
    (second,) = made.app.issuer.run(NOVEMBER)
    assert second.credits == 5_000
    earlier_transfer(made, usd("30.00"), "final")
    assert made.balance("tenant_credit") == -3_000
    made.app.issuer.void(second.number, reason="wrong price", actor="finance")
    assert made.balance("tenant_credit") == -8_000
    (third,) = made.app.issuer.run(NOVEMBER, "acme")
    assert third.credits == 8_000 and made.balance("tenant_credit") == 0


def test_credit_is_not_used_while_its_payment_is_allocated_anew(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer has to wait: without a lock it would use credit that the reconciler is just about to apply."""
    first = overpaid(made, "150.00")
    earlier_transfer(made, usd("100.00"), "confirmed")
    assert made.balance("tenant_credit") == -5_000
    with made.app.database.transaction() as session:
        session.execute(text("UPDATE transfer SET state = 'orphaned', settled = false WHERE state = 'confirmed'"))
    other, waited = build(made.settings, made.clock), list[str]()

    def meanwhile(*given: Any) -> Any:
        with other.database.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            try:
                session.execute(text("SELECT id FROM tenant_credit FOR UPDATE"))
            except Exception as error:
                waited.append(str(error))
                session.rollback()
        return allocate(*given)

    monkeypatch.setattr("billing.reconciliation.allocator.allocate", meanwhile)
    made.app.reconciler.tick()
    other.close()
    assert len(waited) == 1 and "lock timeout" in waited[0]
    assert made.invoice(first.number).remaining == 5_000 and made.balance("tenant_credit") == 0
    assert rows(made, "SELECT count(*) FROM tenant_credit WHERE reversed_at IS NULL") == [(0,)]


def missed(made: World, to: str, units: int) -> None:
    """A transfer that the endpoint did not tell of: it answered with no logs, as lagging nodes do."""
    made.node.transfer(made.usdc, to, units)
    (watcher,) = made.app.watchers.values()
    node = watcher.pool.endpoints[0].node
    logs = node.logs
    node.logs = lambda *_, **__: []  # type: ignore[method-assign]
    watcher.sync()
    node.logs = logs  # type: ignore[method-assign]
    made.settle(20)


def test_the_audit_finds_a_payment_that_was_missed(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.follow()
    missed(made, invoice.address, usd("200.00"))
    assert made.invoice(invoice.number).status is InvoiceStatus.OPEN
    assert any("chain 200000000, transfers 0" in one for one in made.findings())


def test_the_audit_finds_what_was_missed_at_a_treasury_that_was_empty_at_first(made: World) -> None:
    issued(made, "acme")
    made.settle(20)
    assert made.findings() == []
    missed(made, made.treasury, usd("1000.00"))
    assert any("chain 1000000000, transfers 0" in one for one in made.findings())


def test_the_books_match_after_a_token_was_taken_off_the_list(made: World) -> None:
    asked = suspended(made)
    reconfigured(made, without("OUSD"))
    made.settle(3)
    assert asked and made.findings() == []


def test_moving_the_treasurys_money_to_a_new_treasury_books_nothing(made: World) -> None:
    issued(made, "acme")
    made.node.mint(made.usdc, made.treasury, usd("10.00"))
    made.settle(20)
    assert made.findings() == []
    given = made.settings.model_dump()
    given["database"]["url"] = made.settings.database.url.get_secret_value()
    new = given["wallet"]["treasury"] = made.node.accounts[8]
    made.settings = type(made.settings)(**given)
    made.again()
    with made.app.database.transaction() as session:
        assert made.app.wallet is not None
        wallets.generation(session, made.app.wallet, made.clock.now())
    made.settle(2)
    made.findings()
    made.node.transfer(made.usdc, new, usd("10.00"), sender=9)
    made.settle(20)
    assert not [one for one in made.findings() if "entries that stand" in one]


def test_the_export_names_every_entry_and_what_was_credited_from_suspense(made: World) -> None:
    asked = suspended(made)
    made.app.resolver.resolve(asked, Resolution.CREDIT, reason="it is the tenant's", actor="finance")
    (invoice,) = {row[0] for row in rows(made, "SELECT number FROM invoice")}
    with made.app.database.transaction() as session:
        address = session.execute(text("SELECT address FROM payment_address WHERE kind = 'invoice'")).scalar_one()
    made.node.transfer(made.usdc, address, usd("200.00"))
    made.settle(20)
    credited, paid = made.app.reporter.reconciliation_rows(month(2026, 10))
    assert (credited.value, credited.credited, credited.rate) == ("7.00", "7.00", "1")
    assert paid.invoice == invoice and paid.applied == "200.00"
    kinds = dict(rows(made, "SELECT id::text, kind FROM entry"))
    assert [kinds[one] for one in paid.ledger_entry.split()] == ["payment", "allocation"]
    assert made.findings() == []


def test_credit_that_was_used_and_is_gone_is_a_question(made: World) -> None:
    """Only a person who rewinds a chain can take final credit back. What was issued stays as it is."""
    overpaid(made, "250.00")
    (second,) = made.app.issuer.run(month(2026, 11), actor="test")
    assert second.credits == 5_000
    head = made.node.block("latest")
    assert head is not None
    made.node.reorg(26)
    with pytest.raises(Conflict, match="is stopped"):
        made.follow()
    above = made.node.block(head.number - 25)
    assert above is not None
    with made.app.database.transaction() as session:
        chain_store.rewind_by_hand(session, 31337, above.mined_at, made.clock.now())
    made.settle(20)
    with made.app.database.transaction() as session:
        (asked,) = payments.exceptions(session)
    assert (asked["kind"], asked["tenant"]) == ("credit_used", "acme")
    assert "50.00 USD of its credit pay other invoices" in asked["detail"]
    assert made.invoice(second.number).amount_due == second.amount_due and made.balance("tenant_credit") == 5_000
    assert made.findings() == ["tenants' credit is what the ledger says: acme: holds 0 USD, the ledger says -5000"], (
        "the audit is red until the payer makes it good"
    )

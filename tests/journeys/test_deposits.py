"""Tenants that pay before they use: a permanent address, top-ups that become credit, invoices that use it up."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.core.errors import Conflict, Invalid
from billing.core.period import month_of
from billing.invoicing import document as documents
from billing.invoicing.deposit import Deposit
from billing.invoicing.depositor import Wanted
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import credit, deposits
from billing.invoicing.verify import address_of, verify
from billing.reconciliation import store as payments
from billing.reconciliation.resolver import Credited, Resolution
from billing.tenants import store as tenants
from billing.treasury.planner import Wish
from tests.factories import tenant
from tests.journeys.test_par_limit import Priced
from tests.journeys.test_restore import XPUB, Backup
from tests.world import BOOK, PERIOD, World, metered, usd, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def given(made: World, slug: str = "acme", **wanted: Any) -> Deposit:
    return made.app.depositor.give(Wanted(slug, **wanted), actor="test").deposit


def ready(made: World, *slugs: str) -> None:
    """October is metered at 200.00 USD for each tenant, and the chain is accepted."""
    metered(made, *slugs)
    made.app.check_chain(31337)
    made.follow()


def opened(made: World, *slugs: str) -> None:
    """Tenants that used nothing yet."""
    for slug in slugs:
        made.app.registrar.add(tenant(slug, "lease"), [], actor="test")
    made.app.rater.apply(BOOK, actor="test")
    made.app.check_chain(31337)
    made.follow()


def held_credit(made: World, slug: str = "acme") -> list[tuple[Any, ...]]:
    with made.app.database.transaction() as session:
        found = credit.credits_of(session, tenants.by_slug(session, slug).id)
    return [(one["kind"], one["units"], one["left"], one["final"], one["reversed"]) for one in found]


def questions(made: World) -> list[dict[str, Any]]:
    with made.app.database.transaction() as session:
        return payments.exceptions(session)


def told(made: World) -> list[tuple[str, str]]:
    with made.app.database.transaction() as session:
        rows = session.execute(text("SELECT type, subject FROM notice ORDER BY id"))
        return [(row.type, row.subject) for row in rows]


def test_an_address_is_made_once_archived_first_and_verifiable_offline(made: World) -> None:
    opened(made, "acme", "beta")
    first = given(made)
    again = made.app.depositor.give(Wanted("acme"), actor="test")
    assert not again.made and again.deposit == first and again.outdated == []
    assert first.number == "INV-DEP-000001" and given(made, "beta").number == "INV-DEP-000002"
    archived = {one.digest: one for one in made.app.archive.read()}
    assert archived[first.digest].content == first.content and archived[first.digest].issued
    assert made.app.wallet is not None
    assert verify(first.content, [made.app.wallet.pin()], first.address).genuine
    assert not verify(first.content, [made.app.wallet.pin()], made.treasury).genuine
    assert made.findings() == []


def test_a_top_up_is_pending_until_it_is_final_and_then_pays_the_whole_invoice(made: World) -> None:
    ready(made, "acme")
    deposit = given(made)
    made.node.transfer(made.usdc, deposit.address, usd("250.00"))
    made.settle(3)
    assert held_credit(made) == [("prepaid", 25_000, 25_000, False, False)]
    (invoice,) = made.app.drafter.preview(PERIOD).drafts
    assert invoice.amount_due.units == 20_000, "what is not final is not used"
    made.settle(20)
    assert held_credit(made) == [("prepaid", 25_000, 25_000, True, False)]
    (issued,) = made.app.issuer.run(PERIOD)
    assert (issued.status, issued.amount_due, issued.address) == (InvoiceStatus.PAID, 0, None)
    assert held_credit(made) == [("prepaid", 25_000, 5_000, True, False)]
    assert made.balance("tenant_prepaid") == -5_000 and made.balance("receivable") == 0
    assert [one for one in told(made) if one[0].startswith("topup")] == [
        ("topup.seen", deposit.number), ("topup.credited", deposit.number),
    ]  # fmt: skip
    assert made.findings() == []


def test_a_small_top_up_pays_a_part_and_a_void_gives_it_back(made: World) -> None:
    ready(made, "acme")
    made.node.transfer(made.usdc, given(made).address, usd("75.50"))
    made.settle(20)
    (issued,) = made.app.issuer.run(PERIOD)
    assert (issued.status, issued.amount_due, issued.remaining) == (InvoiceStatus.OPEN, 12_450, 12_450)
    assert made.balance("tenant_prepaid") == 0
    made.app.issuer.void(issued.number, reason="wrong price", actor="test")
    assert made.balance("tenant_prepaid") == -7_550 and held_credit(made)[0][2] == 7_550
    (replaced,) = made.app.issuer.run(PERIOD, "acme")
    assert replaced.credits == 7_550 and replaced.address is not None
    made.node.transfer(made.usdc, replaced.address, usd("124.50"))
    made.settle(20)
    assert made.invoice(replaced.number).status is InvoiceStatus.PAID
    assert made.findings() == []


def test_a_reorganisation_takes_a_top_up_back_and_it_counts_again_when_it_returns(made: World) -> None:
    opened(made, "acme")
    deposit = given(made)
    made.node.mine(5)
    made.node.transfer(made.usdc, deposit.address, usd("10.00"))
    made.settle(3)
    assert made.balance("tenant_prepaid") == -1_000
    made.node.reorg(5)
    made.settle(4)
    assert made.balance("tenant_prepaid") == 0 and held_credit(made) == [("prepaid", 1_000, 0, False, True)]
    made.node.transfer(made.usdc, deposit.address, usd("10.00"))
    made.settle(20)
    assert made.balance("tenant_prepaid") == -1_000
    assert made.findings() == [] and questions(made) == []


def test_a_token_that_the_document_does_not_name_waits_for_a_person(made: World) -> None:
    opened(made, "acme")
    deposit = given(made)
    made.node.transfer(made.other, deposit.address, 7 * 10**18)
    made.settle(20)
    (asked,) = questions(made)
    assert (asked["kind"], asked["tenant"], asked["invoice"]) == ("wrong_token", "acme", None)
    assert deposit.number in asked["detail"] and made.balance("tenant_prepaid") == 0
    assert made.findings() == []


def test_a_top_up_is_worth_what_its_documents_rule_says_at_its_block(made: World) -> None:
    """Par within one percent of a feed; beyond it the feed's rate, and the difference is fx. No rate: a person is asked."""
    priced = Priced(made)
    deposit = given(made)
    priced.answer(3, "0.90")
    made.node.transfer(made.usdc, deposit.address, usd("100.00"))
    made.settle(20)
    assert (made.balance("tenant_prepaid"), made.balance("fx"), made.balance("conversion")) == (-9_000, -1_000, 10_000)
    (row,) = [one for one in priced.payments() if one["deposit"] == deposit.number]
    assert (row["rate"], row["kind"], row["tenant"]) == (Decimal("0.9"), "top_up", "acme")
    assert row["rate_source"].endswith("round 3")
    priced.answer(4, "0")
    made.node.transfer(made.usdc, deposit.address, usd("50.00"))
    made.settle(20)
    (asked,) = questions(made)
    assert (asked["kind"], asked["tenant"], asked["suggestion"]) == (
        "no_rate", "acme", "credit acme at a --rate that you can prove",
    )  # fmt: skip
    made.app.resolver.resolve(
        asked["id"], Resolution.CREDIT, reason="market", actor="test", credited=Credited(rate=Decimal("0.95"))
    )
    assert [one[:3] for one in held_credit(made)] == [("prepaid", 9_000, 9_000), ("overpayment", 4_750, 4_750)]
    assert made.findings() == []


def test_a_sweep_brings_top_ups_to_the_treasury_and_the_report_shows_them(made: World) -> None:
    opened(made, "acme")
    deposit = given(made)
    made.node.transfer(made.usdc, deposit.address, usd("42.00"))
    made.settle(20)
    (batch,) = made.app.planner.plan(made.app.watchers[31337], Wish({made.usdc: 1})).batches
    assert [(one.address, one.invoice) for one in batch.deposits] == [(deposit.address, deposit.number)]
    made.node.send(batch.to, batch.data)
    made.settle(20)
    assert made.node.balance(made.usdc, made.treasury) == usd("42.00")
    (row,) = made.app.reporter.reconciliation_rows(month_of(made.node.block("latest").mined_at))  # type: ignore[union-attr]
    assert (row.invoice, row.tenant, row.kind, row.value, row.credited) == (
        deposit.number, "acme", "top_up", "42.00", "42.00",
    )  # fmt: skip
    assert row.amount_due == "" and row.difference == "" and len(row.ledger_entry.split()) == 2
    assert made.findings() == []


def test_a_new_address_needs_a_reason_and_the_old_one_still_counts(made: World) -> None:
    opened(made, "acme")
    old = given(made)
    with pytest.raises(Invalid, match="needs a reason"):
        Wanted("acme", renew=True)
    new = given(made, renew=True, reason="new tokens")
    assert new.replaces == old.number and new.document.replaces is not None
    assert new.document.replaces.digest == old.digest and new.address != old.address
    assert given(made) == new
    made.node.transfer(made.usdc, old.address, usd("1.00"))
    made.node.transfer(made.usdc, new.address, usd("2.00"))
    made.settle(20)
    assert made.balance("tenant_prepaid") == -300 and made.findings() == []


def test_a_resellers_customer_has_no_address_of_its_own(made: World) -> None:
    opened(made, "acme")
    made.app.registrar.add(tenant("delta", reseller="acme"), [], actor="test")
    with pytest.raises(Conflict, match="delta is billed through acme"):
        given(made, "delta")


@pytest.mark.parametrize("xpub", ["", XPUB], ids=["forwarder", "xpub"])
def test_addresses_given_after_a_backup_come_back_with_what_came_to_them(
    database_url: str, tmp_path: Path, xpub: str
) -> None:
    """What an invoice had used of them is owed until the chain was read again, and no longer."""
    with world(database_url, tmp_path, xpub=xpub) as made:
        ready(made, "acme", "beta")
        backup = Backup(made)
        deposit = given(made)
        renewed = given(made, renew=True, reason="new terms")
        made.node.transfer(made.usdc, deposit.address, usd("10.00"))
        made.node.transfer(made.usdc, renewed.address, usd("20.00"))
        made.settle(20)
        (invoice,) = made.app.issuer.run(PERIOD, "acme")
        assert invoice.credits == 3_000
        backup.put_back()
        with pytest.raises(Conflict, match="INV-DEP-000001 first; was an older backup restored"):
            given(made, "beta")
        restored = made.app.restore(actor="test")
        assert (restored.deposits, restored.invoices) == ([deposit.number, renewed.number], [invoice.number])
        assert made.app.restore(actor="test").deposits == [], "twice is once"
        assert given(made).address == renewed.address and made.balance("tenant_prepaid") == 3_000
        made.follow()
        assert made.balance("tenant_prepaid") == 0 and made.invoice(invoice.number).remaining == 17_000
        assert given(made, "beta").number == "INV-DEP-000003"
        with made.app.database.transaction() as session:
            addresses = [one.address for one in deposits.of_tenant(session, deposit.tenant_id)]
        assert addresses == [deposit.address, renewed.address]
        assert made.findings() == []


def test_an_address_whose_commit_was_lost_is_watched_and_its_number_given_again(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(made, "acme")

    prepare = made.app.archive.prepare

    def killed(*batch: Any) -> None:
        prepare(*batch)
        raise KeyboardInterrupt

    monkeypatch.setattr(made.app.archive, "prepare", killed)
    with pytest.raises(KeyboardInterrupt):
        given(made)
    monkeypatch.undo()
    (prepared,) = made.app.archive.read()
    assert not prepared.issued
    deposit = given(made)
    assert deposit.number == prepared.number and deposit.digest != prepared.digest
    assert made.app.restore(actor="test").unissued == [prepared.number]
    parsed = documents.parse(prepared.content)
    made.node.transfer(made.usdc, str(address_of(parsed, prepared.digest)), usd("5.00"))  # type: ignore[arg-type]
    made.settle(20)
    assert [one["kind"] for one in questions(made)] == ["unissued"] and made.findings() == []

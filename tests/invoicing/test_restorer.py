"""Restoring: whatever state archive and database are in, everything that was issued comes back, and nothing else does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.chain import store as chain
from billing.core.errors import Unavailable
from billing.core.period import month
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.lines import append
from billing.invoicing.store import credit
from tests.invoicing.test_guard import issued_and_killed
from tests.invoicing.test_issuer import Broken, november, rows
from tests.journeys.test_restore import XPUB, Backup
from tests.world import PERIOD, World, issued, metered, usd, world

NOVEMBER = month(2026, 11)


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


@pytest.fixture
def by_xpub(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path, xpub=XPUB) as one:
        yield one


def ready(made: World, *tenants: str) -> None:
    """Metered, and the chain followed: anything may be issued."""
    metered(made, *tenants)
    made.app.check_chain(31337)
    made.follow()


def crashed(made: World, what: Any) -> None:
    """Do something of which the documents are archived, and die before the commit."""
    good = made.app.issuer._archive
    made.app.issuer._archive = Broken(good, after=True)
    with pytest.raises(Unavailable, match="disk failed"):
        what()
    made.app.issuer._archive = good


def crashed_void(made: World, number: str) -> None:
    crashed(made, lambda: made.app.issuer.void(number, reason="x", actor="test"))


PERHAPS = "credit note INV-CN-000001, prepared to take INV-000001 back, was perhaps never issued: void INV-000001 again"


@pytest.mark.parametrize(("paid", "status"), [("0", "open"), ("50.00", "open"), ("200.00", "paid")])
def test_a_void_that_crashed_is_not_carried_out_by_a_restore(made: World, paid: str, status: str) -> None:
    (invoice,) = issued(made, "acme")
    crashed_void(made, invoice.number)
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd(paid))
    made.settle()
    remaining = made.invoice(invoice.number).remaining
    restored = made.app.restore(actor="test")
    assert restored.credit_notes == restored.invoices == [] and [line.startswith(PERHAPS) for line in restored.left]
    assert (made.invoice(invoice.number).status, made.invoice(invoice.number).remaining) == (status, remaining)
    assert not [finding for finding in made.findings() if "INV-CN-000001" not in finding]


def test_a_void_that_crashed_is_done_again_under_the_same_number(made: World) -> None:
    (invoice,) = issued(made, "acme")
    crashed_void(made, invoice.number)
    assert made.app.issuer.void(invoice.number, reason="x", actor="test") == "INV-CN-000001"
    assert made.app.restore(actor="test").left == [] and made.findings() == []


def test_a_void_of_an_invoice_that_was_paid_since_is_left_to_a_person(made: World) -> None:
    """The backup is from before the void; the daemon ran on it, and matched a payment, before anybody restored."""
    ready(made, "acme", "beta", "gamma")
    (invoice,) = made.app.issuer.run(PERIOD, "acme")
    backup = Backup(made)
    note = made.app.issuer.void(invoice.number, reason="x", actor="test")
    (other,) = made.app.issuer.run(PERIOD, "beta")
    backup.put_back()
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("50.00"))
    made.settle()
    for brought_back in ([other.number], []):
        restored = made.app.restore(actor="test")
        assert (restored.invoices, restored.credit_notes) == (brought_back, [])
        assert restored.left == [
            "credit note INV-CN-000001 took INV-000001 back and was not brought back:"
            " money was matched to that invoice since; agree with the payer what it is for"
        ]
    assert made.invoice(invoice.number).remaining == 15_000 and made.balance("receivable") == 15_000 + 20_000
    made.settle()
    (third,) = made.app.issuer.run(PERIOD, "gamma")
    assert third.number == "INV-000003", "the rest goes on"
    assert made.app.issuer.void(third.number, reason="x", actor="test") == "INV-CN-000002", f"{note} is given"
    assert [f for f in made.findings() if "INV-CN" not in f] == []


def test_credit_that_came_from_a_forgotten_invoice_is_used_once(made: World) -> None:
    ready(made, "acme")
    november(made, hours=200)
    backup = Backup(made)
    (first,) = made.app.issuer.run(PERIOD)
    assert first.address is not None
    made.node.transfer(made.usdc, first.address, usd("250.00"))
    made.settle(20)
    (second,) = made.app.issuer.run(NOVEMBER)
    assert (second.total, second.credits) == (40_000, 5_000)
    backup.put_back()

    assert made.app.restore(actor="test").invoices == [first.number, second.number]
    assert any("acme: holds 0 USD, the ledger says -5000" in f for f in made.findings()), (
        "until the chain was read again"
    )
    with made.app.database.transaction() as session:
        assert credit.credit_held(session, first.tenant_id, "USD") == []
    made.settle(20)
    assert made.invoice(first.number).status is InvoiceStatus.PAID
    assert (made.invoice(second.number).credits, made.invoice(second.number).remaining) == (5_000, 35_000)
    assert made.balance("tenant_credit") == 0 and made.findings() == []
    with made.app.database.transaction() as session:
        assert credit.credit_held(session, first.tenant_id, "USD") == []

    made.app.issuer.void(second.number, reason="x", actor="test")
    (third,) = made.app.issuer.run(NOVEMBER, "acme")
    assert third.credits == 5_000 and made.findings() == [], "a void gives it back, once"


def test_credit_that_is_lacking_when_its_invoice_is_voided_is_lacking_no_more(made: World) -> None:
    ready(made, "acme")
    november(made, hours=200)
    backup = Backup(made)
    (first,) = made.app.issuer.run(PERIOD)
    assert first.address is not None
    made.node.transfer(made.usdc, first.address, usd("250.00"))
    made.settle(20)
    (second,) = made.app.issuer.run(NOVEMBER)
    backup.put_back()
    made.app.restore(actor="test")
    made.app.issuer.void(second.number, reason="x", actor="test")
    assert made.balance("tenant_credit") == 0
    made.settle(20)
    assert made.balance("tenant_credit") == -5_000 and made.findings() == []
    (third,) = made.app.issuer.run(NOVEMBER, "acme")
    assert third.credits == 5_000 and made.balance("tenant_credit") == 0 and made.findings() == []


def test_two_credits_of_one_transaction_are_used_by_a_restored_invoice(made: World) -> None:
    (first,) = issued(made, "acme")
    assert first.address is not None
    made.node.transfer(made.usdc, first.address, usd("250.00"))
    made.node.transfer(made.usdc, first.address, usd("30.00"))
    made.settle(20)
    with made.app.database.transaction() as session:  # as when a payer's contract pays several times at once
        session.execute(text("ALTER TABLE tenant_credit DISABLE TRIGGER ALL"))
        session.execute(text("UPDATE tenant_credit SET reference = '0xbatch'"))
        session.execute(text("ALTER TABLE tenant_credit ENABLE TRIGGER ALL"))
    november(made, hours=200)
    backup = Backup(made)
    (second,) = made.app.issuer.run(NOVEMBER)
    assert second.credits == 8_000
    backup.put_back()
    assert made.app.restore(actor="test").invoices == [second.number]
    assert rows(made, "SELECT units FROM credit_use ORDER BY id") == [(5_000,), (3_000,)]
    assert made.balance("tenant_credit") == 0
    made.settle()
    assert made.findings() == []


def test_the_address_of_a_live_invoice_is_its_own_though_a_crashed_attempt_had_it_first(by_xpub: World) -> None:
    ready(by_xpub, "acme")
    backup = Backup(by_xpub)
    crashed(by_xpub, lambda: by_xpub.app.issuer.run(PERIOD))
    (invoice,) = by_xpub.app.issuer.run(PERIOD)
    backup.put_back()
    restored = by_xpub.app.restore(actor="test")
    assert (restored.invoices, restored.unissued) == ([invoice.number], [])
    assert by_xpub.invoice(invoice.number).address == invoice.address is not None
    by_xpub.node.transfer(by_xpub.usdc, invoice.address, usd("200.00"))
    by_xpub.settle()
    assert by_xpub.invoice(invoice.number).status is InvoiceStatus.PAID and by_xpub.findings() == []


def test_an_index_that_the_archive_does_not_tell_is_not_given_again(by_xpub: World) -> None:
    """As when a directory's journal was lost: the address comes back without its index."""
    ready(by_xpub, "acme", "beta")
    backup = Backup(by_xpub)
    (first,) = by_xpub.app.issuer.run(PERIOD, "acme")
    for journal in by_xpub.app.archive.directories[0].glob("journal-*.jsonl"):
        journal.unlink()
    backup.put_back()
    assert by_xpub.app.restore(actor="test").invoices == [first.number]
    assert rows(by_xpub, "SELECT hd_index FROM payment_address") == [(None,)]
    (second,) = by_xpub.app.issuer.run(PERIOD, "beta")
    assert second.address not in (None, first.address)


def test_killed_between_the_two_files_of_the_archive_nothing_was_issued(
    by_xpub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(by_xpub, "acme", "beta")
    count = iter(range(9))

    def killed(path: Path, lines: bytes) -> None:
        if next(count) == 1:
            raise Unavailable("killed")
        append(path, lines)

    monkeypatch.setattr("billing.invoicing.archive.append", killed)
    with pytest.raises(Unavailable, match="killed"):
        by_xpub.app.issuer.run(PERIOD, "acme")
    by_xpub.again()
    restored = by_xpub.app.restore(actor="test")
    assert (restored.invoices, restored.unissued) == ([], [])
    (invoice,) = by_xpub.app.issuer.run(PERIOD, "beta")
    assert invoice.number == "INV-000001" and by_xpub.findings() == []


def test_killed_before_the_chains_are_asked_to_be_read_again_nothing_was_restored(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(made, "acme")
    backup = Backup(made)
    (invoice,) = made.app.issuer.run(PERIOD)
    backup.put_back()
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle()  # the daemon reads on, and knows nothing

    def killed(*_: Any) -> None:
        raise Unavailable("killed")

    monkeypatch.setattr(chain, "request_rewind", killed)
    with pytest.raises(Unavailable, match="killed"):
        made.app.restore(actor="test")
    monkeypatch.undo()
    assert rows(made, "SELECT count(*) FROM invoice") == [(0,)]
    assert made.again().restore(actor="test").invoices == [invoice.number]
    made.settle(20)
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.findings() == []


def test_a_second_restore_reads_no_chain_again(made: World) -> None:
    ready(made, "acme")
    backup = Backup(made)
    crashed(made, lambda: made.app.issuer.run(PERIOD))
    (invoice,) = made.app.issuer.run(PERIOD)
    backup.put_back()
    first = made.app.restore(actor="test")
    assert (first.invoices, first.unissued) == ([invoice.number], [invoice.number])
    made.follow()
    assert made.app.restore(actor="test").unissued == []
    assert rows(made, "SELECT rewind_to FROM chain_state") == [(None,)]


def test_a_new_directory_listed_first_changes_no_order(database_url: str, tmp_path: Path) -> None:
    """The void is in both, the invoice that it takes back only in the older one; all in one second."""
    one, two = tmp_path / "one", tmp_path / "two"
    with world(database_url, tmp_path, archive=[str(one)]) as made:
        ready(made, "acme")
        backup = Backup(made)
        (first,) = made.app.issuer.run(PERIOD)
        wallet = made.settings.wallet.model_copy(update={"archive": [two, one]})
        made.settings = made.settings.model_copy(update={"wallet": wallet})
        made.again()
        note = made.app.issuer.void(first.number, reason="x", actor="test")
        (second,) = made.app.issuer.run(PERIOD, "acme")
        backup.put_back()
        restored = made.app.restore(actor="test")
        assert (restored.invoices, restored.credit_notes) == ([first.number, second.number], [note])
        assert made.invoice(second.number).replaces == first.number
        assert made.invoice(first.number).status is InvoiceStatus.VOID


def test_links_that_were_sent_still_open_the_invoice(made: World) -> None:
    ready(made, "acme", "beta")
    backup = Backup(made)
    before = [made.app.issuer.run(PERIOD, slug)[0] for slug in ("acme", "beta")]
    backup.put_back()
    made.app.restore(actor="test")
    assert [made.invoice(one.number).pay_token for one in before] == [one.pay_token for one in before]
    assert len({one.pay_token for one in before}) == 2 and len(before[0].pay_token) == 43


def test_a_dead_document_of_a_batch_is_not_taken_for_an_invoice(made: World) -> None:
    """A batch of three crashed; the second payer was invoiced alone, under the first number. Had the third number been
    issued, the second would have been too: numbers have no gap."""
    ready(made, "acme", "beta", "gamma")
    crashed(made, lambda: made.app.issuer.run(PERIOD))
    (invoice,) = made.app.issuer.run(PERIOD, "beta")
    assert invoice.number == "INV-000001"
    restored = made.app.restore(actor="test")
    assert restored.invoices == [] and sorted(restored.unissued) == [f"INV-00000{n}" for n in (1, 2, 3)]
    assert [one.number for one in made.app.issuer.run(PERIOD)] == ["INV-000002", "INV-000003"]
    assert made.findings() == []


def test_a_batch_that_was_perhaps_committed_comes_back(made: World) -> None:
    ready(made, "acme", "beta")
    backup = Backup(made)
    issued_and_killed(made, "acme")
    invoice = made.invoice("INV-000001")
    backup.put_back()
    assert made.app.restore(actor="test").invoices == [invoice.number]
    assert made.invoice(invoice.number).address == invoice.address
    assert [one.issued for one in made.app.archive.read()] == [True], "now it is known"
    (other,) = made.app.issuer.run(PERIOD, "beta")
    assert other.number == "INV-000002" and made.findings() == []


def test_a_document_that_is_lost_stops_nothing_but_itself(made: World) -> None:
    """It was issued, then taken back; the archive lost it. The rest comes back, and its number is not given again."""
    ready(made, "acme", "beta", "gamma")
    backup = Backup(made)
    (first,) = made.app.issuer.run(PERIOD, "acme")
    made.app.issuer.void(first.number, reason="x", actor="test")
    (second,) = made.app.issuer.run(PERIOD, "beta")
    (path,) = made.app.archive.directories[0].glob("documents-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(
        b"".join(line for line in whole.splitlines(keepends=True) if b'"number":"INV-000001","' not in line)
    )
    backup.put_back()
    restored = made.app.restore(actor="test")
    assert (restored.invoices, restored.credit_notes) == ([second.number], [])
    assert restored.left == [
        "INV-000001 was issued, and no directory of the archive has it: put the directory back that has, and restore again",
        "credit note INV-CN-000001 took INV-000001 back and was not brought back: the database does not have that invoice",
    ]
    (third,) = made.app.issuer.run(PERIOD, "gamma")
    assert third.number == "INV-000003"
    path.write_bytes(whole + path.read_bytes().splitlines(keepends=True)[-1])
    again = made.app.restore(actor="test")
    assert (again.invoices, again.credit_notes, again.left) == ([first.number], ["INV-CN-000001"], [])
    made.settle()
    assert made.findings() == []

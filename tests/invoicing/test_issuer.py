"""Issuing: numbers without gaps, documents before commits, nothing twice; on a real database and a real node."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.bootstrap import build
from billing.core.errors import Conflict, Unavailable
from billing.core.period import Span, month
from billing.fleet.gpu import DeviceKey
from billing.invoicing import document as documents
from billing.invoicing import store
from billing.invoicing.archive import Archive
from billing.invoicing.document import InvoiceDocument, Line
from billing.invoicing.lifecycle import InvoiceStatus
from billing.ledger import store as ledger
from billing.metering.store import facts
from billing.tenants.tenant import Attribution, Tenant
from tests.factories import NO_EXCLUSIONS, ScriptedSource, at, collector
from tests.world import BOOK, PERIOD, World, issued, metered, usd, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def rows(made: World, sql: str) -> list[tuple[Any, ...]]:
    with made.app.database.transaction() as session:
        return [tuple(row) for row in session.execute(text(sql))]


def november(made: World, *, hours: int) -> None:
    """Acme uses its GPU in November too, and November is over."""
    made.app.leaser.add(
        "acme", Span(at(24, day=31), at(24 + hours, day=31)), uuids=["GPU-acme"], reference="nov", actor="test"
    )
    made.clock.move_to(at(24 * 32, day=31))
    source = ScriptedSource({DeviceKey("GPU-acme"): [(0, 10**11, "")]}, up=[(0, 10**11)], interval=3600)
    collecting = collector(made.app.database, made.clock, source, rule=NO_EXCLUSIONS)
    while collecting.tick(240).windows:
        pass


def test_an_invoice_says_what_was_used_and_where_to_pay(made: World) -> None:
    (invoice,) = issued(made, "acme", hours=100)
    with made.app.database.transaction() as session:
        parsed = documents.parse(store.document(session, invoice.id))
        (line,) = store.lines(session, invoice.id)
        behind = facts.intervals(session, invoice.tenant_id, line.sku, line.period)
    assert isinstance(parsed, InvoiceDocument)
    assert isinstance(parsed.lines[0], Line)
    assert (parsed.total, parsed.lines[0].quantity_seconds, parsed.lines[0].unit_price) == ("200.00", 360_000, "2")
    assert [(s.token, s.decimals) for s in parsed.settlement] == [("USDC", 6), ("NRUSD", 6)], (
        "the watched token is not offered"
    )
    assert facts.usage_digest(behind) == line.usage_digest == parsed.lines[0].usage_digest
    assert sum(row["seconds"] for row in behind) == 360_000 and behind[0]["because"] == "lease lease-acme"
    assert made.balance("receivable") == 20_000 and made.balance("revenue:h100") == -20_000


def test_the_same_month_again_is_nothing_more(made: World) -> None:
    assert len(issued(made, "acme", "beta")) == 2
    assert made.app.issuer.run(PERIOD) == [] and made.app.issuer.tick() == 0
    assert [row[0] for row in rows(made, "SELECT number FROM invoice ORDER BY id")] == ["INV-000001", "INV-000002"]


def test_the_scheduler_invoices_a_closed_month_after_its_grace(made: World) -> None:
    metered(made, "acme")
    made.app.check_chain(31337)
    made.clock.move_to(at(24 + 23.9, day=31))
    assert made.app.issuer.tick() == 0
    made.clock.move_to(at(24 + 24, day=31))
    assert made.app.issuer.tick() == 1
    made.app.issuer.void("INV-000001", reason="wrong", actor="test")
    assert made.app.issuer.tick() == 0, "a void is a person's decision; the daemon does not undo it"


def test_a_month_that_is_running_or_not_read_is_refused(made: World) -> None:
    metered(made, "acme")
    made.app.check_chain(31337)
    with pytest.raises(Conflict, match="is not over before 2026-12-01"):
        made.app.issuer.run(month(2026, 11))
    made.app.drafter._sources = ["script"]
    with made.app.database.transaction() as session:
        session.execute(text("UPDATE reading SET superseded_at = now() WHERE lower(during) = '2026-10-09T10:00Z'"))
    with pytest.raises(Conflict, match="script was not read from 2026-10-09T10:00:00Z on; stablemeter meter collect"):
        made.app.issuer.run(PERIOD)
    assert rows(made, "SELECT count(*) FROM invoice") == [(0,)] and made.app.archive.read() == []


def test_a_used_sku_without_a_price_issues_nothing_to_anybody(made: World) -> None:
    metered(made, "acme", "beta")
    made.app.check_chain(31337)
    made.app.rater.apply(BOOK.replace("2026-01-01", "2026-10-03"), actor="test")
    with pytest.raises(Conflict, match="h100 has no price for"):
        made.app.issuer.run(PERIOD)
    assert rows(made, "SELECT count(*) FROM invoice") == [(0,)]


def test_without_an_accepted_chain_nothing_is_issued(made: World) -> None:
    metered(made, "acme")
    with pytest.raises(Unavailable, match="no chain accepts USD for this wallet yet"):
        made.app.issuer.run(PERIOD)
    assert rows(made, "SELECT count(*) FROM invoice") == [(0,)]
    made.app.check_chain(31337)
    assert [invoice.number for invoice in made.app.issuer.run(PERIOD)] == ["INV-000001"], "the number was not lost"


def test_concurrent_issuers_never_number_twice(made: World) -> None:
    metered(made, *(f"t{n}" for n in range(6)))
    made.app.check_chain(31337)
    problems: list[Exception] = []

    def run() -> None:
        app = build(made.settings, made.clock)
        try:
            app.issuer.run(PERIOD)
        except Conflict as error:  # the other one was faster
            problems.append(error)
        finally:
            app.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row[0] for row in rows(made, "SELECT number FROM invoice ORDER BY number")] == [
        f"INV-{n:06d}" for n in range(1, 7)
    ]
    assert made.findings() == []


class Broken(Archive):
    """An archive whose disk fails, before or after it has written."""

    def __init__(self, inner: Archive, *, after: bool) -> None:
        super().__init__(inner.directories)
        self.after = after

    def prepare(self, batch: Any, at: Any) -> None:
        if self.after:
            super().prepare(batch, at)
        raise Unavailable("the archive's disk failed")


@pytest.mark.parametrize("after", [False, True])
def test_a_failing_archive_means_that_nothing_was_issued(made: World, after: bool) -> None:
    metered(made, "acme")
    made.app.check_chain(31337)
    good = made.app.issuer._archive
    made.app.issuer._archive = Broken(good, after=after)
    with pytest.raises(Unavailable, match="disk failed"):
        made.app.issuer.run(PERIOD)
    assert rows(made, "SELECT count(*) FROM invoice") == [(0,)]
    made.app.issuer._archive = good
    (invoice,) = made.app.issuer.run(PERIOD)
    assert invoice.number == "INV-000001" and made.findings() == []


def test_credit_pays_the_next_invoice_and_a_zero_due_has_no_address(made: World) -> None:
    (first,) = issued(made, "acme")
    assert first.address is not None
    made.node.transfer(made.usdc, first.address, usd("900.00"))
    made.settle()
    november(made, hours=50)
    (second,) = made.app.issuer.run(month(2026, 11))
    assert (second.total, second.credits, second.amount_due, second.status) == (10_000, 10_000, 0, InvoiceStatus.PAID)
    assert second.address is None and made.balance("tenant_credit") == -60_000
    with made.app.database.transaction() as session:
        parsed = documents.parse(store.document(session, second.id))
    assert isinstance(parsed, InvoiceDocument)
    assert parsed.wallet is None and parsed.settlement == [] and parsed.credits[0].amount == "100.00"
    assert made.findings() == []


def test_a_reseller_pays_for_its_customers_by_name(made: World) -> None:
    made.app.registrar.add(Tenant("orbit", "Orbit", Attribution.OBSERVED), [], actor="test")
    metered(made, "acme")
    with made.app.database.transaction() as session:
        session.execute(
            text("UPDATE tenant SET reseller_id = (SELECT id FROM tenant WHERE slug = 'orbit') WHERE slug = 'acme'")
        )
    made.app.check_chain(31337)
    (invoice,) = made.app.issuer.run(PERIOD)
    with made.app.database.transaction() as session:
        (line,) = store.lines(session, invoice.id)
    assert (invoice.tenant, line.tenant, line.description) == ("orbit", "acme", "NVIDIA H100, used by Acme")
    assert made.findings() == []


def test_only_an_open_invoice_without_payments_can_be_voided(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("50.00"))
    made.settle()
    with pytest.raises(Conflict, match="has payments on it"):
        made.app.issuer.void(invoice.number, reason="x", actor="test")
    made.node.transfer(made.usdc, invoice.address, usd("150.00"))
    made.settle()
    with pytest.raises(Conflict, match="the invoice is paid; that does not allow: void"):
        made.app.issuer.void(invoice.number, reason="x", actor="test")
    assert made.findings() == []


def test_a_payment_that_is_booked_while_voiding_stops_the_void(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("50.00"))
    made.node.mine(3)
    other = build(made.settings, made.clock)
    other.watchers[31337].sync()
    looked_up = store.by_number

    def meanwhile(session: Any, number: str) -> Any:
        found = looked_up(session, number)
        other.reconciler.tick()
        return found

    monkeypatch.setattr(store, "by_number", meanwhile)
    with pytest.raises(Conflict, match="has payments on it"):
        made.app.issuer.void(invoice.number, reason="x", actor="test")
    other.close()
    monkeypatch.undo()
    assert made.invoice(invoice.number).remaining == 15_000
    made.settle()
    assert made.findings() == []


def test_a_void_reverses_what_was_booked_at_the_issue_and_nothing_else(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("50.00"))
    made.settle()
    with made.app.database.transaction() as session:
        assert [entry.kind for entry in ledger.of_invoice(session, invoice.id)] == ["issue"]


def test_an_issued_invoice_is_frozen_by_the_database(made: World) -> None:
    (invoice,) = issued(made, "acme")
    for statement in (
        "UPDATE invoice SET total = 1, amount_due = 1",
        "UPDATE invoice SET document = ''",
        "DELETE FROM invoice",
        "UPDATE invoice_line SET amount = 1",
        "UPDATE charge SET amount = 1",
        "DELETE FROM payment_address",
        "UPDATE posting SET units = 1",
    ):
        with (
            pytest.raises(Conflict, match=r"frozen|append only|never deleted"),
            made.app.database.transaction() as session,
        ):
            session.execute(text(statement))
    assert made.invoice(invoice.number) == invoice

"""Adjustments after close, from late samples to invoice lines, books and documents, in a real database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.chain import store as chain
from billing.chain.block import Block
from billing.core.clock import ManualClock
from billing.core.errors import Conflict
from billing.core.keccak import keccak256
from billing.core.onchain import to_hash
from billing.core.period import FOREVER, Span, month
from billing.fleet.gpu import DeviceKey
from billing.invoicing import document as documents
from billing.invoicing import store
from billing.invoicing.document import InvoiceDocument
from billing.invoicing.invoice import Invoice, InvoiceLine
from billing.metering.collector import Collector
from billing.metering.excluder import Announcement
from billing.wallets import store as wallets
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, add_tenants, collector, second, tenant
from tests.web.client import application
from tests.world import BOOK

GPU, GPU2 = DeviceKey("GPU-1"), DeviceKey("GPU-2")
MONTHS = {number: month(2026, number) for number in (10, 11, 12)}


@dataclass
class Site:
    """acme holds GPU-1 for the first 100 hours of October and 50 of November, at 2.00 USD an hour; `source` may learn."""

    app: App
    clock: ManualClock
    source: ScriptedSource

    @property
    def collecting(self) -> Collector:
        return collector(self.app.database, self.clock, self.source, rule=NO_EXCLUSIONS)

    def until(self, at: datetime) -> None:
        self.clock.move_to(at)
        while self.collecting.tick(240).windows:
            pass

    def learn(self, hours: int) -> None:
        """acme held its GPU for another number of October's hours than was read."""
        self.source.devices = held(hours)
        self.collecting.collect(Span(OCTOBER, OCTOBER + timedelta(hours=150)))

    def issue(self, number: int) -> list[Invoice]:
        self.clock.move_to(max(self.clock.now(), MONTHS[number].end + timedelta(hours=25)))
        return self.app.issuer.run(MONTHS[number], actor="test")

    def lines(self, invoice: Invoice) -> list[InvoiceLine]:
        with self.app.database.transaction() as session:
            return store.lines(session, invoice.id)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.app.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(sql))]

    def check(self) -> None:
        assert [str(one) for one in self.app.auditor.run(chains=False).findings] == []


def held(october: int, november: int = 50) -> dict[DeviceKey, list[tuple[int, int, str]]]:
    """A sample covers the hour before it, so what is held from hour 0 on is sampled from hour 1 on."""
    ends = (second(1 + october), second(1 + 31 * 24), second(1 + 31 * 24 + november))
    script = [(0, second(1), ""), (second(1), ends[0], "acme"), (ends[0], ends[1], ""), (ends[1], ends[2], "acme")]
    script.append((ends[2], 10**10, ""))
    return {GPU: [one for one in script if one[0] < one[1]], GPU2: [(0, 10**10, "")]}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    clock = ManualClock(OCTOBER)
    app = application(database_url, tmp_path, clock)
    source = ScriptedSource(held(100), up=[(0, 10**10)], interval=3600)
    one = Site(app, clock, source)
    add_tenants(app.database, clock, "acme")
    one.until(datetime(2026, 11, 2, 1, tzinfo=UTC))
    app.rater.apply(BOOK, actor="test")
    with app.database.transaction() as session:
        assert app.wallet is not None
        generation = wallets.generation(session, app.wallet, clock.now())
        wallets.accept_chain(session, generation.id, 31337, clock.now())
        hashes = [to_hash(keccak256(bytes([number]))) for number in (0, 1)]
        chain.begin(session, 31337, "anvil", Block(1, hashes[1], hashes[0], clock.now()), clock.now())
    yield one
    app.close()


def december(site: Site) -> None:
    site.until(datetime(2026, 12, 2, 2, tzinfo=UTC))


def test_late_usage_comes_as_a_line_of_the_next_invoice_that_names_its_month(site: Site) -> None:
    (first,) = site.issue(10)
    assert first.total == 20_000
    site.learn(110)
    preview = site.app.drafter.preview(MONTHS[10])
    (late,) = preview.late
    assert [line.rated.amount for line in late.lines] == [2000] and preview.drafts == []
    assert preview.billed_on[late.payer.id] == MONTHS[11]
    assert site.issue(10) == []
    december(site)
    (draft,) = site.app.drafter.preview(MONTHS[11]).drafts
    assert [(line.rated.amount, line.adjusts) for line in draft.lines] == [(10_000, None), (2000, MONTHS[10])]
    (invoice,) = site.issue(11)
    own, adjustment = site.lines(invoice)
    assert (own.amount, own.period, adjustment.amount, adjustment.quantity_seconds) == (
        10_000,
        MONTHS[11],
        2000,
        36_000,
    )
    assert adjustment.period == MONTHS[10] and adjustment.description == "Adjustment of 2026-10: NVIDIA H100"
    assert adjustment.measured_seconds == 36_000
    with site.app.database.transaction() as session:
        parsed = documents.parse(store.document(session, invoice.id))
    assert isinstance(parsed, InvoiceDocument) and parsed.lines[1].period.start == "2026-10-01T00:00:00Z"
    assert isinstance(parsed.lines[1], documents.Line)
    assert parsed.lines[1].coverage == "1.0000" and parsed.total == "120.00"
    assert site.issue(11) == [] and site.app.issuer.tick() == 0
    assert site.app.drafter.preview(MONTHS[10]).late == [] == site.app.drafter.preview(MONTHS[11]).late
    site.check()


def test_usage_that_was_not_lowers_the_next_invoice(site: Site) -> None:
    site.issue(10)
    site.learn(70)
    december(site)
    (invoice,) = site.issue(11)
    assert [line.amount for line in site.lines(invoice)] == [10_000, -6000] and invoice.total == 4000
    assert site.lines(invoice)[1].quantity_seconds == -30 * 3600
    assert site.rows("SELECT sum(amount), sum(seconds) FROM charge") == [(24_000, 120 * 3600)]
    site.check()


def test_what_outweighs_an_invoice_is_carried_and_no_invoice_is_negative(site: Site) -> None:
    """October's 100 hours turn out to be none: 200.00 are to be given back, November is worth 100.00."""
    site.issue(10)
    site.learn(0)
    december(site)
    (draft,) = site.app.drafter.preview(MONTHS[11]).drafts
    assert [line.rated.amount for line in draft.carried] == [-10_000]
    (invoice,) = site.issue(11)
    assert invoice.total == 0 and invoice.status == "paid" and invoice.address is None
    assert [(line.amount, line.quantity_seconds) for line in site.lines(invoice)] == [
        (10_000, 180_000),
        (-10_000, -180_000),
    ]
    (carried,) = site.app.drafter.preview(MONTHS[12]).carried
    assert [line.rated.amount for line in carried.carried] == [-10_000]
    assert site.app.drafter.preview(MONTHS[12]).drafts == [], "nothing alone to be given back makes no invoice"
    site.learn(50)
    assert site.app.drafter.preview(MONTHS[12]).carried == [], "it was derived, not remembered: now it is even"
    site.check()


def test_adjustments_alone_make_an_invoice_when_something_is_to_be_paid(site: Site) -> None:
    site.issue(10)
    site.source.devices = held(100, november=0)
    december(site)
    site.collecting.collect(Span(MONTHS[11].start, MONTHS[11].start + timedelta(days=3)))
    assert site.app.issuer.tick() == 0, "acme used nothing in November"
    site.source.devices = held(120, november=0)
    site.collecting.collect(Span(OCTOBER, OCTOBER + timedelta(hours=150)))
    assert site.app.issuer.tick() == 1
    ((number, total),) = site.rows("SELECT number, total FROM invoice WHERE lower(period) = '2026-11-01T00:00Z'")
    assert (number, total) == ("INV-000002", 4000)
    assert site.app.issuer.tick() == 0
    site.check()


def test_a_void_takes_adjustments_back_too_and_they_come_again(site: Site) -> None:
    site.issue(10)
    site.learn(110)
    december(site)
    (november,) = site.issue(11)
    site.app.issuer.void(november.number, reason="wrong address", actor="test")
    (again,) = site.app.issuer.run(MONTHS[11], "acme", actor="test")
    assert again.total == november.total == 12_000
    site.app.issuer.void("INV-000001", reason="wrong", actor="test")
    (october,) = site.app.issuer.run(MONTHS[10], "acme", actor="test")
    assert october.total == 20_000, "what November's invoice charged for October is not charged again"
    assert site.rows("SELECT sum(amount) FROM charge") == [(32_000,)]
    site.check()


def test_maintenance_in_an_invoiced_month_is_given_back_on_the_next_invoice(site: Site) -> None:
    app = site.app
    app.registrar.add(tenant("metal", "lease"), [], actor="test")
    app.leaser.add("metal", Span(OCTOBER, FOREVER), uuids=["GPU-2"], reference="L1", actor="test")
    site.until(site.clock.now())
    site.issue(10)
    work = Announcement(Span(OCTOBER, OCTOBER + timedelta(hours=10)), "fans", uuids=["GPU-2"], adjust=True)
    app.excluder.announce(work, actor="test")
    december(site)
    invoice = next(one for one in site.issue(11) if one.tenant == "metal")
    (own, given_back) = site.lines(invoice)
    assert own.amount == 30 * 24 * 200 and given_back.amount == -2000
    assert given_back.excluded == [("maintenance: fans", 36_000)]
    site.check()


def test_a_model_stays_with_the_sku_that_it_was_invoiced_as(site: Site) -> None:
    """Which model a SKU stands for has no dates: a move would price closed months again."""
    site.app.rater.check(BOOK.replace("NVIDIA H100 80GB HBM3", "NVIDIA H200"))
    site.issue(10)
    with pytest.raises(Conflict, match="NVIDIA H100 80GB HBM3 was invoiced as h100 and must stay with it"):
        site.app.rater.check(BOOK.replace("NVIDIA H100 80GB HBM3", "NVIDIA H200"))
    site.app.rater.check(BOOK)


def test_late_usage_without_a_price_in_an_invoiced_month_is_a_question_until_it_is_priced(site: Site) -> None:
    """No invoice run refuses it any more, for the month is invoiced: it must not become a gift without a word."""
    with site.app.database.transaction() as session:
        session.execute(text("UPDATE gpu SET model = 'NVIDIA H200' WHERE uuid = 'GPU-2'"))
    site.issue(10)
    assert site.app.reconciler.tick().exceptions == 0
    site.source.devices = {**held(100), GPU2: [(second(1), second(11), "acme"), (second(11), 10**10, "")]}
    site.clock.move_to(site.clock.now() + timedelta(minutes=10))
    site.collecting.collect(Span(OCTOBER, OCTOBER + timedelta(hours=150)))
    site.clock.move_to(site.clock.now() + timedelta(minutes=10))
    assert site.app.reconciler.tick().exceptions == 1
    assert site.app.reconciler.tick().exceptions == 0, "asked once"
    asked = "SELECT kind, subject, detail, status FROM exception ORDER BY id"
    ((kind, subject, detail, status),) = site.rows(asked)
    assert (kind, subject, status) == ("unpriced_usage", "2026-10 NVIDIA H200", "open")
    assert "no SKU lists the model 'NVIDIA H200': 36000 s" in detail
    with pytest.raises(Conflict, match="NVIDIA H200"):
        site.app.drafter.preview(MONTHS[10])
    site.app.rater.apply(
        BOOK.replace('"NVIDIA H100 80GB HBM3"', '"NVIDIA H100 80GB HBM3", "NVIDIA H200"'), actor="test"
    )
    assert site.app.reconciler.tick().exceptions == 0
    assert [row[3] for row in site.rows(asked)] == ["resolved"]
    december(site)
    (invoice,) = site.issue(11)
    assert [(line.amount, line.quantity_seconds) for line in site.lines(invoice)] == [(10_000, 180_000), (2000, 36_000)]
    site.check()


def test_a_part_of_what_is_given_back_shows_no_coverage_above_one(site: Site) -> None:
    site.issue(10)
    site.learn(0)
    december(site)
    (draft,) = site.app.drafter.preview(MONTHS[11]).drafts
    for line in draft.lines:
        assert abs(line.evidence.measured_seconds) <= abs(line.rated.seconds)

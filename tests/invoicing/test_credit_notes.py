"""Taxes, purchase orders and credit notes in part: in the document, in the books, and after any order of events."""

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Asset
from billing.invoicing import document as documents
from billing.invoicing import store
from billing.invoicing.document import CreditNoteDocument, InvoiceDocument
from billing.invoicing.goodwill import Wish
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.store import credit, notes
from billing.invoicing.tax import Exchange, TaxOffice
from billing.ledger import store as ledger
from billing.tenants.registrar import Details, TaxChange
from billing.tenants.tax import TaxKind, TaxRule
from tests.factories import OCTOBER
from tests.invoicing.test_adjustments import Site, december, site
from tests.web.client import application
from tests.web.scene import Scene
from tests.world import PERIOD, World, issued, metered, usd, world

__all__ = ["site"]
GST = TaxRule(TaxKind.STANDARD, "GST", Decimal("0.10"))


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def invoice_document(site: Site, invoice_id: int) -> InvoiceDocument:
    with site.app.database.transaction() as session:
        parsed = documents.parse(store.document(session, invoice_id))
    assert isinstance(parsed, InvoiceDocument)
    return parsed


def note_document(site: Site, number: str) -> CreditNoteDocument:
    with site.app.database.transaction() as session:
        parsed = documents.parse(notes.document(session, notes.by_number(session, number).id))
    assert isinstance(parsed, CreditNoteDocument)
    return parsed


def balance(site: Site, account: str) -> int:
    (found,) = site.rows(f"SELECT coalesce(sum(units), 0)::bigint FROM posting WHERE account = '{account}'")
    return int(found[0])


def test_tax_is_once_on_the_sum_in_the_document_and_in_the_books(site: Site) -> None:
    site.app.registrar.set_tax("acme", TaxChange(GST), actor="test")
    site.app.registrar.set_details("acme", Details("2 Side Street\u00b7Perth", "ABN 1", "PO-1"), actor="test")
    office = TaxOffice(Asset("AUD", 2), {"USD": Exchange(Decimal("1.5"), "RBA", "2026-10-31")})
    site.app.issuer._writer._house = replace(site.app.house, tax_office=office)
    (invoice,) = site.app.issuer.run(PERIOD, "acme", actor="test", purchase_order="PO-2")
    parsed = invoice_document(site, invoice.id)
    assert (parsed.subtotal, parsed.total, parsed.amount_due) == ("200.00", "220.00", "220.00")
    assert [(one.name, one.rate, one.amount) for one in parsed.tax] == [("GST", "0.1", "20.00")]
    assert (parsed.tenant.tax_id, parsed.tenant.address) == ("ABN 1", "2 Side Street\u00b7Perth")
    assert parsed.purchase_order == invoice.purchase_order == "PO-2", "an invoice's own before the tenant's"
    assert parsed.tax_currency is not None and (parsed.tax_currency.tax, parsed.tax_currency.total) == (
        "30.00",
        "330.00",
    )
    assert (invoice.tax, invoice.total, invoice.remaining) == (2_000, 22_000, 22_000)
    assert (balance(site, "tax"), balance(site, "revenue:h100"), balance(site, "receivable")) == (
        -2_000,
        -20_000,
        22_000,
    )
    note = site.app.noter.credit(invoice.number, Wish(1, 5_001), reason="slow network", actor="test")
    told = note_document(site, note)
    assert (told.subtotal, told.total, told.purchase_order) == ("50.01", "55.01", "PO-2")
    assert told.lines is not None and told.tax_currency is not None and told.tax_currency.tax == "7.50"
    assert (balance(site, "tax"), balance(site, "receivable")) == (-1_500, 16_499)
    site.check()


def test_an_exempt_tenant_is_told_why_and_a_void_takes_the_tax_back(site: Site) -> None:
    rule = TaxRule(TaxKind.REVERSE_CHARGE, note="Reverse charge: the customer accounts for VAT")
    site.app.registrar.set_tax("acme", TaxChange(GST), actor="test")
    (invoice,) = site.issue(10)
    note = site.app.issuer.void(invoice.number, reason="no tax here", actor="test")
    assert (note_document(site, note).total, note_document(site, note).subtotal) == ("220.00", "200.00")
    assert balance(site, "tax") == balance(site, "receivable") == 0
    site.app.registrar.set_tax("acme", TaxChange(rule), actor="test")
    (again,) = site.app.issuer.run(PERIOD, "acme", actor="test")
    parsed = invoice_document(site, again.id)
    assert parsed.tax == [] and parsed.tax_note is not None and parsed.tax_note.text == rule.note
    assert (again.total, again.tax) == (20_000, 0)
    site.check()


def test_goodwill_is_not_charged_again_and_no_correction_gives_it_back_twice(site: Site) -> None:
    (first,) = site.issue(10)
    site.app.noter.credit(first.number, Wish(1, 15_000), reason="goodwill", actor="test")
    assert site.app.drafter.preview(PERIOD).late == [], "the usage stays charged"
    site.learn(50)  # half of it, 100.00, was not used at all; of the 200.00 only 50.00 is still charged
    december(site)
    (second,) = site.issue(11)
    assert [(line.amount, line.period.start.month) for line in site.lines(second)] == [(10_000, 11), (-5_000, 10)]
    site.check()


def test_what_cannot_be_credited_is_refused_and_writes_nothing(site: Site) -> None:
    (invoice,) = site.issue(10)
    with pytest.raises(Invalid, match="crediting INV-000001 needs a reason"):
        site.app.noter.credit(invoice.number, Wish(1), reason=" ", actor="test")
    with pytest.raises(Conflict, match=r"only 200\.00 USD before tax can still be credited on line 1"):
        site.app.noter.credit(invoice.number, Wish(1, 20_001), reason="x", actor="test")
    note = site.app.noter.credit(invoice.number, Wish(1, 1), reason="x", actor="test")
    with pytest.raises(Conflict, match="has credit notes on it"):
        site.app.issuer.void(invoice.number, reason="x", actor="test")
    assert note == "INV-CN-000001" and site.rows("SELECT count(*) FROM credit_note") == [(1,)]
    site.app.noter.credit(invoice.number, Wish(), reason="the rest", actor="test")
    with site.app.database.transaction() as session:
        done = store.by_number(session, invoice.number)
    assert (done.status, done.remaining, done.paid, done.noted) == (InvoiceStatus.PAID, 0, 0, 20_000)
    site.check()


def test_any_order_of_payments_and_credit_notes_ends_in_the_same_books(made: World) -> None:
    orders = list(permutations(("pay", "line", "rest")))
    metered(made, *(f"t{n}" for n in range(len(orders))))
    made.app.check_chain(31337)
    invoices = made.app.issuer.run(PERIOD, actor="test")
    for step in range(3):
        for invoice, order in zip(invoices, orders, strict=True):
            assert invoice.address is not None
            if order[step] == "pay":
                made.node.transfer(made.usdc, invoice.address, usd("120.00"))
            elif order[step] == "line":
                made.app.noter.credit(invoice.number, Wish(1, 5_000), reason="goodwill", actor="test")
            else:
                made.app.noter.credit(invoice.number, Wish(None, 6_000), reason="more", actor="test")
        made.settle()
        assert all(made.invoice(one.number).remaining >= 0 for one in invoices)
    for invoice in invoices:
        done = made.invoice(invoice.number)
        assert (done.status, done.remaining, done.paid, done.noted) == (InvoiceStatus.PAID, 0, 9_000, 11_000)
        with made.app.database.transaction() as session:
            (held,) = [one for one in credit.credits_of(session, done.tenant_id) if not one["reversed"]]
        assert (held["kind"], held["left"], held["final"]) == ("overpayment", 3_000, True)
    assert made.balance("receivable") == 0 and made.findings() == []


def test_credit_that_paid_comes_back_and_a_restore_brings_credit_notes_back(made: World) -> None:
    (first,) = issued(made, "acme")
    assert first.address is not None
    made.node.transfer(made.usdc, first.address, usd("200.00"))
    made.settle()
    number = made.app.noter.credit(first.number, Wish(1), reason="all of it", actor="test")
    paid = made.invoice(first.number)
    assert (paid.status, paid.remaining, paid.paid) == (InvoiceStatus.PAID, 0, 0)
    assert made.balance("tenant_credit") == -20_000 and made.findings() == []
    forget = (
        "SET session_replication_role = replica;"
        " DELETE FROM credit_note_line; DELETE FROM credit_note; DELETE FROM notice;"
        " DELETE FROM posting WHERE entry_id IN (SELECT id FROM entry WHERE kind = 'credit_note');"
        " DELETE FROM entry WHERE kind = 'credit_note'; UPDATE number_series SET next = 1 WHERE name = 'INV-CN';"
        " SET session_replication_role = DEFAULT"
    )
    with made.app.database.transaction() as session:
        session.execute(text(forget))
    with pytest.raises(Conflict, match="the database does not know, INV-CN-000001 first"):
        made.app.issuer.void(first.number, reason="x", actor="test")
    restored = made.app.restore(actor="test")
    assert restored.credit_notes == [number] and restored.left == []
    made.settle()
    assert made.invoice(first.number).noted == 20_000 and made.balance("tenant_credit") == -20_000
    assert made.findings() == []


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_in_whatever_order_the_audit_stays_clean(database_url: str, tmp_path: Path, seed: int) -> None:
    """Payments, blocks, reorganisations and credit notes, drawn at random, on taxed invoices of one chain."""
    clock, chance = ManualClock(OCTOBER), random.Random(seed)
    scene = Scene(application(database_url, tmp_path, clock), clock)
    scene.meter("t0", "t1", "t2")
    for slug in ("t0",):
        scene.app.registrar.set_tax(slug, TaxChange(GST), actor="test")
    invoices = scene.issue()
    for _ in range(25):
        invoice, what = chance.choice(invoices), chance.choice(("pay", "pay", "credit", "credit", "mine", "orphan"))
        if what == "pay":
            scene.pay(invoice, usd(str(chance.choice((1, 5, 20, 22)))))
        elif what == "mine":
            scene.mine(chance.choice((1, 3, 12)))
        elif what == "orphan" and chance.random() < 0.3:
            with suppress(Conflict):  # something is final
                scene.orphan()
        elif what == "credit":
            with suppress(Conflict):  # less than that is left
                wish = Wish(chance.choice((None, 1)), chance.choice((1, 333, 1_000, None)))
                scene.app.noter.credit(invoice.number, wish, reason="goodwill", actor="test")
        for one in map(scene.again, invoices):
            assert 0 <= one.remaining <= one.claim and one.noted <= one.total
            assert (one.status is InvoiceStatus.PAID) == (one.remaining == 0)
    scene.mine(12)
    assert [str(one) for one in scene.app.auditor.run(chains=False).findings] == []
    scene.app.close()


def test_what_was_paid_with_credit_comes_back_in_its_kind(database_url: str, tmp_path: Path) -> None:
    clock = ManualClock(OCTOBER)
    scene = Scene(application(database_url, tmp_path, clock), clock)
    scene.meter("acme")
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant_credit (tenant_id, kind, currency, units, reference, created_at, final_at)"
                " SELECT id, k, 'USD', n, k, now(), now() FROM tenant,"
                " (VALUES ('promotional', 300), ('prepaid', 1200)) AS given (k, n)"
            )
        )
    (invoice,) = scene.issue()
    assert (invoice.total, invoice.amount_due) == (2_000, 500)
    scene.app.noter.credit(invoice.number, Wish(1, 1_900), reason="goodwill", actor="test")
    with scene.app.database.transaction() as session:
        held = {one["kind"]: one["left"] for one in credit.credits_of(session, invoice.tenant_id)}
        (prepaid,) = session.execute(text("SELECT sum(units) FROM posting WHERE account = 'tenant_prepaid'")).one()
    assert held == {"prepaid": 1_200, "promotional": 200}, "what was used last comes back first"
    assert prepaid == 0 and scene.again(invoice).remaining == 0
    scene.app.close()


def test_a_restore_brings_tax_order_and_credit_notes_back_as_they_were(database_url: str, tmp_path: Path) -> None:
    clock = ManualClock(OCTOBER)
    scene = Scene(application(database_url, tmp_path, clock), clock)
    scene.meter("acme")
    scene.app.registrar.set_tax("acme", TaxChange(GST), actor="test")
    scene.app.registrar.set_details("acme", Details(purchase_order="PO-1"), actor="test")
    (invoice,) = scene.issue()
    for wish in (Wish(1, 333), Wish(1, 1_000)):
        scene.app.noter.credit(invoice.number, wish, reason="goodwill", actor="test")

    def told() -> tuple[object, ...]:
        with scene.app.database.transaction() as session:
            (one,) = store.listed(session)
            found = [(n.number, n.total, n.tax, n.digest) for n in notes.of_invoice(session, one.id)]
            books = [(b.account, b.units) for b in ledger.trial_balance(session)]
            taken = notes.taken(session, one.id)
        return (
            (one.number, one.total, one.tax, one.noted, one.remaining, one.purchase_order, one.digest),
            found,
            books,
            taken,
        )

    before = told()
    assert before[0][2:5] == (200, 1_466, 734)  # type: ignore[index]
    tables = (
        "posting",
        "entry",
        "charge",
        "credit_note_line",
        "credit_note",
        "invoice_line",
        "payment_address",
        "invoice",
    )
    with scene.app.database.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in (*tables, "notice", "number_series"):
            session.execute(text(f"DELETE FROM {table}"))
    restored = scene.app.restore(actor="test")
    assert (restored.invoices, len(restored.credit_notes), restored.left) == ([invoice.number], 2, [])
    assert told() == before
    assert [str(one) for one in scene.app.auditor.run(chains=False).findings] == []
    scene.app.close()


def test_of_two_people_who_credit_the_same_line_at_once_one_is_told_what_is_left(
    database_url: str, tmp_path: Path
) -> None:
    clock = ManualClock(OCTOBER)
    scene = Scene(application(database_url, tmp_path, clock), clock)
    scene.meter("acme")
    (invoice,) = scene.issue()
    told: list[str] = []

    def ask() -> None:
        try:
            told.append(scene.app.noter.credit(invoice.number, Wish(1, 1_500), reason="goodwill", actor="test"))
        except Conflict as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told)[0] == "INV-CN-000001" and "only 5.00 USD before tax can still be credited" in sorted(told)[1]
    assert scene.again(invoice).remaining == 500
    assert [str(one) for one in scene.app.auditor.run(chains=False).findings] == []
    scene.app.close()

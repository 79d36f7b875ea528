"""An invoice with tiers, packages, a fee, a discount and a minimum: from the book to the document, the ledger and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.invoicing import document as documents
from billing.invoicing import store
from billing.invoicing.document import AgreedLine, InvoiceDocument, Line
from tests.world import BOOK, PERIOD, World, metered, world

AGREED = """
[[override]]
tenant = "acme"
sku = "h100"
[[override.price]]
from = 2026-01-01
graduated = [{ up_to = 60, per_hour = "2.00" }, { per_hour = "1.00" }]
[[override]]
tenant = "beta"
sku = "h100"
[[override.price]]
from = 2026-01-01
package = { hours = 30, price = "40.00" }
[[fee]]
code = "rack"
title = "Reserved rack"
tenant = "idle"
amount = "500.00"
from = 2026-10-01
[[discount]]
code = "partner"
title = "Partner discount"
tenant = "acme"
percent = "10"
from = 2026-10-01
[[minimum]]
code = "commit"
title = "Minimum commitment"
tenant = "acme"
amount = "150.00"
from = 2026-10-01
"""


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        metered(one, "acme", "beta", "idle")
        with one.app.database.transaction() as session:  # idle let its lease go before it began
            session.execute(text("UPDATE lease SET cancelled_at = now() WHERE reference = 'lease-idle'"))
            session.execute(
                text("UPDATE usage SET superseded_at = now() FROM tenant t WHERE t.id = tenant_id AND t.slug = 'idle'")
            )
        one.app.rater.apply(BOOK + AGREED, actor="test")
        one.app.check_chain(31337)
        yield one


def document(made: World, number: str) -> InvoiceDocument:
    with made.app.database.transaction() as session:
        parsed = documents.parse(store.document(session, store.by_number(session, number).id))
    assert isinstance(parsed, InvoiceDocument)
    return parsed


def told(made: World, number: str) -> list[tuple[str, str]]:
    return [(line.description, line.amount) for line in document(made, number).lines]


def test_each_model_has_its_lines_and_the_books_hold_all_of_them(made: World) -> None:
    acme, beta, idle = made.app.issuer.run(PERIOD)
    assert told(made, acme.number) == [
        ("NVIDIA H100, first to 60 h", "120.00"),
        ("NVIDIA H100, over 60 h", "40.00"),
        ("Partner discount, 10 %", "-16.00"),
        ("Minimum commitment", "6.00"),
    ]
    assert told(made, beta.number) == [("NVIDIA H100, packages of 30 h", "160.00")]
    assert told(made, idle.number) == [("Reserved rack", "500.00")], "it owes its fee though it used nothing"
    kinds = [type(line) for line in document(made, acme.number).lines]
    assert kinds == [Line, Line, AgreedLine, AgreedLine]
    assert document(made, acme.number).total == "150.00" and acme.amount_due == 15_000
    assert (made.balance("revenue:h100"), made.balance("revenue:partner"), made.balance("revenue:commit")) == (
        -32_000,
        1_600,
        -600,
    )
    assert made.app.issuer.run(PERIOD) == [] and made.app.issuer.tick() == 0
    assert made.findings() == []


def test_a_void_takes_all_of_it_back_and_the_invoice_that_replaces_it_is_the_same(made: World) -> None:
    acme, *_ = made.app.issuer.run(PERIOD)
    before = told(made, acme.number)
    made.app.issuer.void(acme.number, reason="wrong", actor="test")
    (again,) = made.app.issuer.run(PERIOD, "acme")
    assert told(made, again.number) == before and again.replaces == acme.number
    assert made.findings() == []


def test_a_restored_invoice_is_charged_as_it_was_and_nothing_is_charged_again(made: World) -> None:
    made.app.issuer.run(PERIOD)
    charged = "SELECT sku, unit_price, line_kind, package, sum(amount) FROM charge GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3"
    with made.app.database.transaction() as session:
        before = session.execute(text(charged)).all()
        for table in (
            "posting",
            "entry",
            "charge",
            "invoice_line",
            "payment_address",
            "notice",
            "invoice",
            "number_series",
        ):
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            session.execute(text(f"DELETE FROM {table}"))
            session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    restored = made.again().restore(actor="test")
    assert len(restored.invoices) == 3
    with made.app.database.transaction() as session:
        assert session.execute(text(charged)).all() == before
    assert made.app.issuer.run(PERIOD) == []
    with made.app.database.transaction() as session:
        drafted = made.app.drafter.draft(session, PERIOD)
    assert drafted.drafts == [] and drafted.late == []

"""Pushed events become money: pushed over HTTP, counted, priced, invoiced beside GPU-hours, verified, explained, paid."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.core.errors import Conflict
from billing.core.period import month
from billing.events import store as events
from billing.events.meter import digest_of_hours
from billing.invoicing import document as documents
from billing.invoicing import store
from billing.invoicing.document import InvoiceDocument, Line, MeterLine
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.invoicing.verify import verify
from billing.settings import MeteringSettings
from billing.tenants.keys import KeyRole
from tests.events.pushed import body, event
from tests.factories import at, tenant
from tests.journeys.test_restore import Backup
from tests.web.client import Client, client
from tests.world import BOOK, PERIOD, World, metered, usd, world

METERS = {
    "meters": [
        {"name": "tokens", "event_type": "inference", "value": "$.tokens", "aggregation": "sum", "unit": "token"},
        {"name": "stored", "event_type": "storage", "value": "/gb", "aggregation": "latest", "unit": "GB-month"},
    ]
}
METERED = """
[[sku]]
code = "tokens"
title = "Tokens served"
meter = "tokens"
[[sku.price]]
from = 2026-01-01
per_unit = "0.30"
unit_size = 1000000
[[sku.price]]
from = 2026-10-16
per_unit = "0.20"
unit_size = 1000000
[[sku]]
code = "storage"
title = "Storage"
meter = "stored"
[[sku.price]]
from = 2026-01-01
per_unit = "0.05"
"""


@dataclass
class Pushed:
    made: World
    operator: Client

    def push(self, *one: dict[str, Any]) -> int:
        headers = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
        return self.operator.ask("POST", "/api/v1/events", content=body(*one), headers=headers).status_code

    def document(self, number: str) -> tuple[bytes, InvoiceDocument]:
        content = self.operator.get(f"/api/v1/invoices/{number}/document").content
        parsed = documents.parse(content)
        assert isinstance(parsed, InvoiceDocument)
        return content, parsed

    def invoiced(self, *payers: str) -> list[Invoice]:
        self.made.app.check_chain(31337)
        return [invoice for payer in payers or [""] for invoice in self.made.app.issuer.run(PERIOD, payer)]


def tokens(key: str, count: Any, day: int, **fields: Any) -> dict[str, Any]:
    return event(key, {"tokens": count}, time=at(5, day=day).isoformat(), **fields)


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Pushed]:
    """Acme leased a GPU for 100 hours in October; prices of tokens and storage are in force."""
    with world(database_url, tmp_path) as made:
        made.settings = made.settings.model_copy(update={"metering": MeteringSettings.model_validate(METERS)})
        made.again()
        metered(made, "acme")
        made.app.rater.apply(BOOK + METERED, actor="test")
        yield Pushed(made, client(made.app, KeyRole.OPERATOR))


def test_tokens_and_storage_are_invoiced_beside_gpu_hours(site: Pushed) -> None:
    made = site.made
    batch = [
        tokens("1", 2_000_000, 3),
        tokens("2", "500000.5", 4),
        tokens("3", 10**9, 20),
        event("4", {"gb": 70}, type="storage", time=at(1).isoformat()),
        event("5", {"gb": "40.25"}, type="storage", time=at(1, day=30).isoformat()),
    ]
    assert [site.push(*batch), site.push(*reversed(batch)), site.push(batch[2])] == [204, 204, 204]
    (invoice,) = site.invoiced()
    content, parsed = site.document(invoice.number)
    lines = {(line.sku, line.period.start[:10]): line for line in parsed.lines}
    assert {key: line.amount for key, line in lines.items()} == {
        ("h100", "2026-10-01"): "200.00",
        ("tokens", "2026-10-01"): "0.75",
        ("tokens", "2026-10-16"): "200.00",
        ("storage", "2026-10-01"): "2.01",  # 2.0125, half to even at the cent
    }
    early = lines["tokens", "2026-10-01"]
    assert isinstance(early, MeterLine) and isinstance(lines["h100", "2026-10-01"], Line)
    assert (early.quantity, early.unit, early.unit_size, early.unit_price, early.events) == (
        "2500000.5", "token", 1_000_000, "0.3", 2,
    )  # fmt: skip
    assert parsed.total == "402.76" and made.balance("revenue:tokens") == -20_075
    assert made.app.wallet is not None
    assert verify(content, [made.app.wallet.pin()], invoice.address).genuine
    edited = content.replace(b'"quantity":"2500000.5"', b'"quantity":"2400000.5"')
    assert edited != content and not verify(edited, [made.app.wallet.pin()], invoice.address).genuine
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("402.76"))
    made.settle()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID and made.findings() == []
    shown = site.operator.json(f"/api/v1/invoices/{invoice.number}")["lines"]
    assert [(one["meter"], one["quantity"], one["quantity_seconds"]) for one in shown] == [
        (None, None, 360_000),
        ("stored", "40.25", None),
        ("tokens", "2500000.5", None),
        ("tokens", "1000000000", None),
    ]
    page = Client(site.operator.api).get(f"/pay/{invoice.pay_token}").text
    for words in ("2,500,000.5 token", "per 1,000,000 token", "40.25 GB-month", "Latest by subject, from 1 event<"):
        assert words in page, words


def test_every_line_of_a_meter_is_explained_by_its_hours(site: Pushed) -> None:
    made = site.made
    site.push(*(tokens(str(n), n, 3 + n % 20) for n in range(50)))
    (invoice,) = site.invoiced()
    with made.app.database.transaction() as session:
        for line in store.lines(session, invoice.id):
            if line.metered is None:
                continue
            rows = events.hours(session, made.app.meters[0], invoice.tenant_id, PERIOD, line.period)
            assert digest_of_hours(rows) == line.usage_digest
            assert sum(Decimal(row["quantity"]) for row in rows) == line.metered.quantity
            assert sum(row["events"] for row in rows) == line.metered.events


def test_a_tenant_that_only_pushes_events_is_invoiced_by_the_daemon(site: Pushed) -> None:
    made = site.made
    made.app.registrar.add(tenant("shop"), [], actor="test")
    made.app.registrar.add(tenant("sub", reseller="shop"), ["events:sub-key"], actor="test")
    site.push(tokens("1", 10**8, 3, subject="sub-key"), tokens("2", 1, 3, subject="nobody"))
    made.app.check_chain(31337)
    made.clock.move_to(at(24 + 24, day=31))
    made.app.collector.tick()  # as the daemon does every minute: usage reflects the new labels
    assert made.app.issuer.tick() == 2 and made.app.issuer.tick() == 0
    with made.app.database.transaction() as session:
        (invoice,) = [one for one in store.listed(session) if one.tenant == "shop"]
        (line,) = store.lines(session, invoice.id)
    assert (line.tenant, line.description, line.amount) == ("sub", "Tokens served, used by Sub", 3000)


def test_a_void_takes_the_quantity_back_and_late_events_are_shown(site: Pushed) -> None:
    made = site.made
    site.push(tokens("1", 10**9, 3))
    (invoice,) = site.invoiced()
    site.push(tokens("2", 5_000_000, 4))
    (late,) = made.app.drafter.preview(PERIOD).late
    ((metered_line),) = [line.rated.metered for line in late.lines]
    assert metered_line is not None and (int(metered_line.quantity), late.total.units) == (5_000_000, 150)
    assert made.app.issuer.run(PERIOD) == []
    made.app.issuer.void(invoice.number, reason="late events", actor="test")
    (replacement,) = site.invoiced("acme")
    _, parsed = site.document(replacement.number)
    assert [line.quantity for line in parsed.lines if isinstance(line, MeterLine)] == ["1005000000"]
    assert parsed.replaces is not None and made.findings() == []
    assert made.app.drafter.preview(PERIOD).late == []


def test_late_events_of_an_invoiced_month_come_with_the_next_invoice(site: Pushed) -> None:
    made = site.made
    site.push(tokens("1", 10**9, 3))
    site.invoiced()
    november = month(2026, 11)
    assert [draft.lines for draft in made.app.drafter.preview(november).drafts] == []
    site.push(tokens("2", 5_000_000, 4))
    (draft,) = made.app.drafter.preview(november).drafts
    (line,) = draft.lines
    assert line.adjusts == PERIOD and line.description == "Adjustment of 2026-10: Tokens served"
    assert line.rated.metered is not None and int(line.rated.metered.quantity) == 5_000_000
    assert line.rated.amount == 150


def test_lines_of_meters_come_back_from_the_archive(site: Pushed) -> None:
    """With a backup from before the events: what was billed is known from the document, and shows as charged too much until
    the events are pushed again."""
    made = site.made
    backup = Backup(made)
    operator = client(made.app, KeyRole.OPERATOR)
    before = Pushed(made, operator)
    batch = [tokens("1", 10**9, 3), tokens("2", "0.000000000000000001", 3), event("3", {"gb": 3}, type="storage")]
    before.push(*batch)
    (invoice,) = before.invoiced()
    backup.put_back()
    made.app.check_chain(31337)
    assert made.app.restore(actor="test").invoices == [invoice.number]
    assert made.findings() == []
    with made.app.database.transaction() as session:
        lines = [line.metered for line in store.lines(session, store.by_number(session, invoice.number).id)]
    quantities = [format(one.quantity, "f") for one in lines if one is not None]
    assert quantities == ["3", "1000000000.000000000000000001"]
    (late,) = made.app.drafter.preview(PERIOD).late
    assert late.total.units == -(30_000 + 15)
    Pushed(made, client(made.app, KeyRole.OPERATOR)).push(*batch)
    assert made.app.drafter.preview(PERIOD).late == []


def test_a_charge_that_is_not_its_line_is_found(site: Pushed) -> None:
    from sqlalchemy import text

    made = site.made
    site.push(tokens("1", 10**9, 3))
    site.invoiced()
    with made.app.database.transaction() as session:
        session.execute(text("ALTER TABLE charge DISABLE TRIGGER append_only"))
        session.execute(text("UPDATE charge SET quantity = quantity + 1 WHERE meter IS NOT NULL"))
        session.execute(text("ALTER TABLE charge ENABLE TRIGGER append_only"))
    assert [one for one in made.findings() if "charges add up to their line" in one] == [
        "charges add up to their line: INV-000001 line 2: charges sum to 30000 for 0 s and"
        " 1000000001.000000000000000000 token"
    ]


def test_a_meter_that_was_taken_out_of_the_settings_stops_the_run(site: Pushed) -> None:
    site.push(tokens("1", 10**9, 3))
    site.made.settings = site.made.settings.model_copy(update={"metering": MeteringSettings()})
    site.made.again()
    with pytest.raises(Conflict, match="is a SKU of the meter stored, which is not declared"):
        site.made.app.issuer.run(PERIOD)

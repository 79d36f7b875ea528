"""Invoices by weeks, days and other months, after a change of the cycle, and within a period; on a real database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.core.errors import Conflict, Invalid
from billing.core.period import Span, month, parse_period
from billing.db.engine import Session
from billing.fleet.gpu import DeviceKey
from billing.invoicing.archive import Prepared
from billing.invoicing.draft import Draft
from billing.invoicing.invoice import Invoice
from billing.invoicing.store import listed
from billing.tenants.cycle import Cycle, Every
from billing.tenants.registrar import GapChange, TaxChange
from billing.tenants.tax import TaxKind, TaxRule
from billing.tenants.tenant import Attribution, GapPolicy, GapRule, Tenant
from tests.factories import NO_EXCLUSIONS, ScriptedSource, at, collector
from tests.world import PERIOD, World, metered, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Acme leases a GPU for the first 300 hours of October, beta another for all of it; 2.00 an hour."""
    with world(database_url, tmp_path) as one:
        metered(one, "acme", "beta", hours=300)
        one.app.check_chain(31337)
        yield one


def cycle(
    made: World, slug: str, every: Every, anchor: int = 1, zone: str = "UTC", threshold: int | None = None
) -> None:
    made.app.registrar.set_cycle(slug, Cycle(every, anchor, zone, threshold), reason="contract", actor="test")


def invoices(made: World, slug: str) -> list[Invoice]:
    with made.app.database.transaction() as session:
        return [one for one in listed(session) if one.tenant == slug]


def told(made: World, slug: str) -> list[tuple[str, str, int]]:
    return [(f"{one.period.start:%m-%d %H}", f"{one.period.end:%m-%d %H}", one.total) for one in invoices(made, slug)]


def read_on(made: World, until: datetime) -> None:
    """The fleet is seen until then, and the clock is a day further."""
    made.clock.move_to(until + timedelta(hours=30))
    gpus = {DeviceKey(f"GPU-{slug}"): [(0, 10**11, "")] for slug in ("acme", "beta")}
    source = ScriptedSource(gpus, up=[(0, 10**11)], interval=3600)
    collecting = collector(made.app.database, made.clock, source, rule=NO_EXCLUSIONS)
    collecting.apply_changes()
    while collecting.tick(240).windows:
        pass


def test_weeks_and_months_beside_each_other_and_every_hour_once(made: World) -> None:
    cycle(made, "acme", Every.WEEK)
    read_on(made, at(0, day=20))
    made.app.issuer.tick()
    assert told(made, "acme") == [
        ("09-28 00", "10-05 00", 4 * 24 * 200),
        ("10-05 00", "10-12 00", 7 * 24 * 200),
        ("10-12 00", "10-19 00", 36 * 200),
    ]
    assert told(made, "beta") == [], "its month is not over"
    read_on(made, at(24, day=31))
    assert made.app.issuer.tick() == 1 and told(made, "beta") == [("10-01 00", "11-01 00", 60_000)]
    assert made.app.issuer.tick() == 0
    assert sum(one.total for one in invoices(made, "acme")) == 60_000
    assert made.findings() == []


def test_a_month_of_another_place_begins_at_its_midnight(made: World) -> None:
    cycle(made, "acme", Every.MONTH, 1, "Australia/Brisbane")
    read_on(made, at(24, day=31))
    made.app.issuer.tick()
    assert told(made, "acme") == [("09-30 14", "10-31 14", 60_000)]


def test_after_a_change_the_next_period_begins_where_the_last_one_ended(made: World) -> None:
    cycle(made, "acme", Every.WEEK)
    read_on(made, at(0, day=6))
    made.app.issuer.tick()
    cycle(made, "acme", Every.MONTH)
    read_on(made, at(24, day=31))
    made.app.issuer.tick()
    assert told(made, "acme") == [
        ("09-28 00", "10-05 00", 4 * 24 * 200),
        ("10-05 00", "11-01 00", 60_000 - 4 * 24 * 200),
    ]
    assert made.app.issuer.tick() == 0 and made.findings() == []


def test_the_run_of_a_month_leaves_those_alone_who_are_invoiced_otherwise(made: World) -> None:
    cycle(made, "acme", Every.DAY)
    read_on(made, at(24, day=31))
    assert [one.tenant for one in made.app.issuer.run(PERIOD)] == ["beta"]
    (day,) = made.app.issuer.run(parse_period("2026-10-02..2026-10-03"))
    assert (day.tenant, day.total) == ("acme", 4_800)


def test_what_costs_as_much_as_the_threshold_is_invoiced_before_the_period_is_over(made: World) -> None:
    cycle(made, "acme", Every.MONTH, threshold=20_000)
    made.clock.move_to(at(3, day=4))
    assert made.app.issuer.tick() == 0, "so far 72 hours"
    made.clock.move_to(at(6, day=5))
    assert made.app.issuer.tick() == 1
    assert told(made, "acme") == [("10-01 00", "10-05 05", 101 * 200)]
    assert made.app.issuer.tick() == 0
    made.clock.move_to(at(6, day=8))
    assert made.app.issuer.tick() == 0, "72 hours more are below the threshold"
    made.clock.move_to(at(12, day=9))
    assert made.app.issuer.tick() == 1
    read_on(made, at(24, day=31))
    assert made.app.issuer.tick() == 2
    assert told(made, "acme") == [
        ("10-01 00", "10-05 05", 101 * 200),
        ("10-01 00", "10-09 11", 102 * 200),
        ("10-01 00", "11-01 00", 97 * 200),
    ]
    assert made.app.issuer.tick() == 0 and made.findings() == []


@contextmanager
def refused(monkeypatch: pytest.MonkeyPatch, made: World, slug: str) -> Iterator[None]:
    """No batch with an invoice of one payer can be written."""
    writer = made.app.issuer._writer
    write = writer.write

    def refuse(
        session: Session, drafts: Sequence[Draft], now: datetime, actor: str
    ) -> tuple[list[Prepared], list[int]]:
        if any(draft.payer.slug == slug for draft in drafts):
            raise Conflict(f"no invoice for {slug}")
        return write(session, drafts, now, actor)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", refuse)
        yield


def test_a_period_that_cannot_be_invoiced_keeps_no_other_payer_waiting_and_its_own_payers_in_order(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycle(made, "acme", Every.WEEK)
    cycle(made, "beta", Every.MONTH)
    read_on(made, at(24, day=31))
    with refused(monkeypatch, made, "acme"), pytest.raises(Conflict, match="no invoice for acme"):
        made.app.issuer.tick()
    assert told(made, "acme") == [], "its later weeks wait for its first"
    assert len(told(made, "beta")) == 1
    assert made.app.issuer.tick() == len(told(made, "acme")) == 3


def test_the_threshold_is_one_of_usage_before_tax(made: World) -> None:
    made.app.registrar.set_tax("acme", TaxChange(TaxRule(TaxKind.STANDARD, "GST", Decimal("0.1"))), actor="test")
    cycle(made, "acme", Every.MONTH, threshold=20_000)
    made.clock.move_to(at(1, day=5))
    assert made.app.issuer.tick() == 0, "96 hours are 192.00, and 211.20 with tax"
    made.clock.move_to(at(6, day=5))
    assert made.app.issuer.tick() == 1 and told(made, "acme") == [("10-01 00", "10-05 05", 22_220)]


def test_an_invoice_within_a_period_that_cannot_be_written_is_told_and_keeps_no_other_waiting(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycle(made, "acme", Every.MONTH, threshold=20_000)  # its period began first, so it is tried before beta's
    cycle(made, "beta", Every.WEEK, threshold=5_000)
    made.clock.move_to(at(6, day=9))
    issuer = made.app.issuer
    with refused(monkeypatch, made, "acme"), pytest.raises(Conflict, match="no invoice for acme"):
        issuer.tick()
    assert [start for start, _, _ in told(made, "beta")] == ["09-28 00", "10-05 00"]
    assert issuer.tick() == 1 and len(invoices(made, "acme")) == 1


def test_an_invoice_within_a_period_waits_for_usage_that_may_still_change(made: World) -> None:
    cycle(made, "acme", Every.MONTH, threshold=20_000)
    made.clock.move_to(at(6, day=9))
    rule = GapChange(GapRule(GapPolicy.BRIDGE, 600), at(0), reason="contract")
    made.app.registrar.set_gap("acme", rule, actor="test")
    assert made.app.issuer.tick() == 0
    collector(made.app.database, made.clock, ScriptedSource({}, up=[], interval=3600)).apply_changes()
    assert made.app.issuer.tick() == 1


def test_the_database_refuses_a_second_invoice_of_the_same_time(made: World) -> None:
    read_on(made, at(24, day=31))
    made.app.issuer.run(PERIOD, "acme")
    with pytest.raises(Conflict, match="acme was invoiced from 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z"):
        made.app.issuer.run(Span(at(0, day=5), at(0, day=20)), "acme")
    with (
        pytest.raises(Conflict, match="ex_invoice_one_per_period"),
        made.app.database.transaction() as session,
    ):
        session.execute(
            text(
                "INSERT INTO invoice (number, series, tenant_id, period, currency, exponent, total, credits, amount_due, status,"
                " issued_at, due_at, document, digest, pay_token, status_at) SELECT 'X', series, tenant_id,"
                " tstzrange('2026-10-05', '2026-10-20'), currency, exponent, total, credits, amount_due, status, issued_at, due_at,"
                " document, 'd', 't', status_at FROM invoice"
            )
        )
    with made.app.database.transaction() as session:
        assert len(listed(session)) == 1


def test_a_resellers_customer_has_no_cycle_of_its_own(made: World) -> None:
    made.app.registrar.add(Tenant("shop", "Shop", Attribution.OBSERVED), [], actor="test")
    made.app.registrar.add(Tenant("end", "End", Attribution.OBSERVED, reseller="shop"), [], actor="test")
    with pytest.raises(Invalid, match="set the cycle of shop"):
        cycle(made, "end", Every.DAY)


@pytest.mark.parametrize("wrong", ["2026-13", "2026-10-05..", "..", "2026-10-12..2026-10-05", "soon..later"])
def test_what_is_no_period_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid):
        parse_period(wrong)
    assert parse_period("2026-10") == month(2026, 10)

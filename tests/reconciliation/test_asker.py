"""Disputed usage waits for a person: one question for each device and dispute, for as long as there is one."""

from datetime import timedelta
from typing import Any

import pytest

from billing.core.clock import ManualClock
from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector
from billing.reconciliation import store
from billing.reconciliation.reconciler import Reconciler
from billing.reconciliation.resolver import Resolution, Resolver
from billing.tenants.registrar import Registrar
from tests.factories import NoFeeds, ScriptedSource, add_tenants, at, collector, no_fence, second, tenant

GPU, GPU2 = DeviceKey("GPU-1"), DeviceKey("GPU-2")
EVER = (0, 10**10)


class Site:
    """acme and beta are both seen on GPU-1 from 1:30 on, until 3:30."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, ManualClock(at(2.1))
        add_tenants(database, self.clock, "acme", "beta")
        self.source = ScriptedSource({}, up=[EVER])
        self.seen([(second(1.5), second(3.5), "beta"), (second(3.5), EVER[1], "acme")])
        self.collecting: Collector = collector(database, self.clock, self.source)

    def seen(self, second_series: list[tuple[int, int, str]]) -> None:
        held = [(0, second(3.5), "acme"), *second_series]
        self.source.devices = {GPU: held, GPU2: [(0, EVER[1], "")]}

    def until(self, hour: float) -> int:
        """Collect up to an hour, and ask. Returns how many questions are new."""
        self.clock.move_to(at(hour))
        self.collecting.tick()
        return self.ask()

    def ask(self) -> int:
        return Reconciler(self.database, self.clock, no_fence, NoFeeds()).tick().exceptions

    def questions(self, status: str | None = "open") -> list[dict[str, Any]]:
        with self.database.transaction() as session:
            return store.exceptions(session, status=status)


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def test_a_dispute_is_asked_about_once_and_its_end_is_told(site: Site) -> None:
    assert site.until(2.1) == 1
    (first,) = site.questions()
    assert first["kind"] == "disputed_usage" and first["tenant"] is None
    assert first["detail"].startswith("GPU-1 on n1 was held as acme, beta at once, ")
    assert site.until(3.1) == 0 and site.until(5.1) == 0
    (last,) = site.questions()
    assert last["id"] == first["id"] and last["detail"] != first["detail"]
    assert last["detail"].endswith("7200 s are billed to nobody")
    site.collecting.collect(Span(at(0), at(5)))
    assert site.ask() == 0 and site.questions() == [last], "reading it again asks nothing"


def test_a_dispute_that_ends_closes_its_question_and_a_new_one_asks_again(site: Site) -> None:
    site.until(5.1)
    Leaser(site.database, site.clock).add("acme", Span(at(1), FOREVER), uuids=["GPU-1"], reference="L1", actor="test")
    site.collecting.apply_changes()
    assert site.ask() == 0 and site.questions() == []
    (closed,) = site.questions("resolved")
    assert (closed["resolution"], closed["resolved_by"]) == ("obsolete", "daemon")
    Leaser(site.database, site.clock).end("L1", at(1.1), actor="test")
    site.collecting.apply_changes()
    assert site.ask() == 1 and len(site.questions()) == 1


def test_labels_of_one_tenant_are_no_dispute_and_a_label_of_nobody_is_one(database: Database) -> None:
    clock = ManualClock(at(3.1))
    Registrar(database, clock).add(tenant("acme"), ["acme", "beta"], actor="test")
    source = ScriptedSource({GPU: [(0, EVER[1], "acme"), (0, second(1), "beta"), (second(2), EVER[1], "x")]}, [EVER])
    collector(database, clock, source).tick()
    assert Reconciler(database, clock, no_fence, NoFeeds()).tick().exceptions == 1
    with database.transaction() as session:
        assert "acme, x at once" in store.exceptions(session)[0]["detail"]


def test_what_a_person_acknowledged_is_not_asked_again_however_long_it_lasts(site: Site) -> None:
    site.until(2.1)
    (asked,) = site.questions()
    resolver = Resolver(site.database, site.clock)
    with pytest.raises(Invalid, match="no money came in"):
        resolver.resolve(asked["id"], Resolution.CREDIT, reason="?", actor="test")
    resolver.resolve(asked["id"], Resolution.ACKNOWLEDGE, reason="they share it", actor="test")
    assert site.until(5.1) == 0 and site.questions() == []


def test_a_part_that_is_disputed_no_more_shortens_the_question(site: Site) -> None:
    site.until(5.1)
    Registrar(site.database, site.clock).add(tenant("gamma", "lease"), [], actor="test")
    Leaser(site.database, site.clock).add("gamma", Span(at(3), FOREVER), uuids=["GPU-1"], actor="test")
    site.collecting.apply_changes()
    site.clock.advance(timedelta(minutes=1))
    assert site.ask() == 0
    (one,) = site.questions()
    assert one["detail"].endswith(" s are billed to nobody") and not one["detail"].endswith(
        "7200 s are billed to nobody"
    )

"""One GPU, several sources: it is billed once, whoever sees it, in whatever order they are read."""

from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.period import Span
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Reading
from billing.metering.store import facts, readings
from billing.metering.usage import ExclusionRule
from billing.tenants.registrar import Registrar
from billing.tenants.tenant import GapPolicy, GapRule
from tests.factories import H100, NO_EXCLUSIONS, OPERATOR, ScriptedSource, add_tenants, at, no_fence, second, tenant
from tests.metering.test_collector import GPU, GPU2, conserved, rows, usage

FOREVER = [(0, 10**10)]


def source(name: str, script: list[tuple[int, int, str]], up: list[tuple[int, int]] = FOREVER) -> ScriptedSource:
    return ScriptedSource({GPU: script}, up=up, name=name)


def reading(
    database: Database, clock: ManualClock, *sources: ScriptedSource, rule: ExclusionRule = NO_EXCLUSIONS
) -> Collector:
    return Collector(database, clock, [Feed(one, "script", rule, at(0)) for one in sources], no_fence)


def held(database: Database) -> dict[str, int]:
    found: dict[str, int] = {}
    for slug, start, end, _ in usage(database):
        found[slug] = found.get(slug, 0) + end - start
    return found


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_gpu_that_moves_is_billed_where_it_was(database: Database, order: tuple[int, ...]) -> None:
    """From one site to another, with a pause between; whichever site is read first, and read again afterwards."""
    clock = ManualClock(at(6.1))
    add_tenants(database, clock, "acme", "beta")
    west = source("west", [(0, second(2.5), "acme")])
    east = source("east", [(second(3.5), 10**10, "beta")], up=[(0, second(5)), (second(5.5), 10**10)])
    collecting = reading(database, clock, west, east)
    steps = [
        lambda: collecting.collect(Span(at(0), at(6)), ["west"]),
        lambda: collecting.collect(Span(at(0), at(3)), ["east"]),
        lambda: collecting.collect(Span(at(3), at(6)), ["east"]),
    ]
    for number in order:
        steps[number]()
    collecting.tick()
    found = held(database)
    assert abs(found["acme"] - 2.5 * 3600) <= 60 and abs(found["beta"] - 2 * 3600) <= 120
    where = conserved(database, 6)
    assert "unread" not in where
    assert abs(where["missing"] - 3600) <= 120, "between the sites it was nowhere"
    excluded = where.get("excluded", 0) + where.get("blind", 0)
    assert abs(excluded - 1800) <= 120, "its new home could not see it for a while; the old one is not asked any more"
    before = usage(database)
    clock.advance(timedelta(hours=30))
    collecting.collect(Span(at(0), at(6)))
    assert usage(database) == before


def test_what_one_source_cannot_see_another_one_does(database: Database) -> None:
    clock = ManualClock(at(4.1))
    add_tenants(database, clock, "acme")
    first = source("first", [(0, 10**10, "acme")], up=[(0, second(1)), (second(3), 10**10)])
    second_ = source("second", [(0, 10**10, "acme")], up=[(0, second(2)), (second(2.5), 10**10)])
    reading(database, clock, first, second_).tick()
    assert held(database) == {"acme": pytest.approx(3.5 * 3600, abs=60)}
    assert sum(conserved(database, 4).values()) == 4 * 3600
    reasons = [row[0] for row in rows(database, "SELECT DISTINCT reason FROM reading WHERE reason LIKE '%also%'")]
    assert reasons and all("GPU-1 is also seen by" in reason for reason in reasons)


def test_sources_that_name_two_holders_are_a_dispute_and_one_without_a_label_is_none(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme", "beta")
    first = source("first", [(0, second(1), "acme"), (second(1), 10**10, "")])
    other = source("other", [(0, second(2), "beta"), (second(2), 10**10, "nobody")])
    reading(database, clock, first, other).tick()
    where = conserved(database, 3)
    assert abs(where["disputed"] - 3600) <= 60 and abs(where["billed"] - 3600) <= 60
    assert abs(where["unattributed"] - 3600) <= 60
    assert set(held(database)) == {"beta"}


def test_a_source_under_a_new_name_takes_over_and_the_past_stays(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme")
    reading(database, clock, source("old", [(0, 10**10, "acme")])).tick()
    before = usage(database)
    clock.advance(timedelta(hours=3))
    renamed = Feed(source("new", [(0, second(5), "acme")]), "script", NO_EXCLUSIONS, at(3))
    collecting = Collector(database, clock, [renamed], no_fence)
    collecting.tick()
    assert usage(database)[0][:2] == before[0][:2]
    assert held(database) == {"acme": pytest.approx(5 * 3600, abs=60)}
    where = conserved(database, 6)
    assert set(where) == {"billed", "missing"} and where["missing"] == pytest.approx(3600, abs=60)


def test_an_exclusion_stays_when_its_source_is_configured_no_more(database: Database) -> None:
    clock = ManualClock(at(4.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    old = source("old", [(0, second(1), ""), (second(2), 10**10, "")])
    reading(database, clock, old, rule=OPERATOR).tick()
    Leaser(database, clock).add("acme", Span(at(0), at(6)), hosts=["n1"], reference="L", actor="test")
    collecting = reading(database, clock, old, rule=OPERATOR)
    collecting.apply_changes()
    before = usage(database)
    assert sum(end - start for _, start, end, _ in before) < 3.1 * 3600
    clock.advance(timedelta(hours=2))
    new = Feed(source("new", [(0, 10**10, "")]), "script", NO_EXCLUSIONS, at(4))
    collecting = Collector(database, clock, [new], no_fence)
    collecting.tick()
    Leaser(database, clock).end("L", at(5.5), actor="test")
    collecting.apply_changes()
    assert [row for row in usage(database) if row[2] <= 4 * 3600][:1] == before[:1]
    assert sum(end - start for _, start, end, _ in usage(database)) == pytest.approx(4.5 * 3600, abs=120)
    assert conserved(database, 6)["excluded"] == pytest.approx(3600, abs=120)


class Twice(ScriptedSource):
    """Sees the GPU whole, while another source sees its instances."""

    def read(self, window: tuple[int, int]) -> Reading:
        found = super().read(window)
        if self.name == "parts" and GPU in found.devices:
            whole = found.devices.pop(GPU)
            found.devices[DeviceKey("GPU-1", "7", "1g.10gb")] = whole
        return found


def test_a_gpu_seen_whole_and_in_parts_is_no_two_seats(database: Database) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme", "beta")
    whole = Twice({GPU: [(0, 10**10, "")], GPU2: [(0, 10**10, "beta")]}, up=FOREVER, name="whole")
    parts = Twice({GPU: [(0, 10**10, "acme")]}, up=FOREVER, name="parts")
    reading(database, clock, whole, parts).tick()
    assert rows(database, "SELECT count(*) FROM usage WHERE superseded_at IS NULL") == [(2,)]
    assert conserved(database, 2) == {"billed": 2 * 3600 + 2 * 3600 // 8, "idle": 2 * 3600 * 7 // 8}


def test_a_lease_of_a_gpu_that_moved_is_complete_and_explained_by_both_sources(database: Database) -> None:
    clock = ManualClock(at(6.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    west = source("west", [(0, second(3), "")])
    east = ScriptedSource({GPU: [(second(3), 10**10, "")]}, up=FOREVER, name="east", host="e1")
    feeds = [Feed(west, "script", NO_EXCLUSIONS, at(0)), Feed(east, "script", NO_EXCLUSIONS, at(3))]
    collecting = Collector(database, clock, feeds, no_fence)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(1), at(6)), uuids=["GPU-1"], reference="L", actor="test")
    collecting.apply_changes()
    assert held(database) == {"acme": 5 * 3600}
    with database.transaction() as session:
        assert readings.leased_before(session, Span(at(0), at(24))) is None
        session.execute(
            text("INSERT INTO sku (code, title, models, profile, meter) VALUES ('h100', 'H', ARRAY[:model], '', '')"),
            {"model": H100},
        )
        account = session.execute(text("SELECT id FROM tenant")).scalar_one()
        (row,) = facts.intervals(session, account, "h100", Span(at(0), at(24)))
    assert (row["host"], row["readings"], row["seconds"]) == ("e1", 5 + 3, 5 * 3600)


def test_a_source_that_is_configured_no_more_is_derived_again_all_the_same(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "beta")
    reading(database, clock, source("old", [(0, 10**10, "acme")])).tick()
    assert held(database) == {}
    new = Feed(source("new", [(second(3), 10**10, "acme")]), "script", NO_EXCLUSIONS, at(3))
    clock.advance(timedelta(hours=3))
    collecting = Collector(database, clock, [new], no_fence)
    collecting.tick()
    add_tenants(database, clock, "acme")
    collecting.tick()
    assert held(database) == {"acme": pytest.approx(6 * 3600, abs=120)}


@pytest.mark.parametrize("order", [("east", "west"), ("west", "east")])
def test_a_gap_between_two_sites_is_bridged_whichever_is_read_last(database: Database, order: tuple[str, ...]) -> None:
    clock = ManualClock(at(4.1))
    Registrar(database, clock).add(tenant("acme"), ["acme"], gap=GapRule(GapPolicy.BRIDGE, 7200), actor="test")
    west = source("west", [(0, second(1.7), "acme")], up=[(0, second(1.7))])
    east = source("east", [(second(2.3), 10**10, "acme")])
    feeds = [Feed(west, "script", NO_EXCLUSIONS, at(0)), Feed(east, "script", NO_EXCLUSIONS, at(2))]
    collecting = Collector(database, clock, feeds, no_fence)
    for name in order:
        collecting.collect(Span(at(0 if name == "west" else 2), at(4)), [name])
    assert held(database) == {"acme": pytest.approx(4 * 3600, abs=60)}

"""From readings to usage rows, in a real database."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, NotFound, Unavailable
from billing.core.period import FOREVER, Seconds, Span, epoch_seconds
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.reading import Reading
from billing.metering.reporter import MeterReporter
from billing.tenants.registrar import Registrar
from tests.factories import OPERATOR, ScriptedSource, add_tenants, at, collector, second, tenant

GPU = DeviceKey("GPU-1")
GPU2 = DeviceKey("GPU-2")


def rows(database: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    with database.transaction() as session:
        return [tuple(row) for row in session.execute(text(sql), values)]


def usage(database: Database) -> list[tuple[str, int, int, str]]:
    """(tenant, start, end, basis) of current usage, in seconds since the start of October."""
    found = rows(
        database,
        "SELECT t.slug, extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint, basis"
        " FROM usage u JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL ORDER BY device_id, during",
    )
    start = second(0)
    return [(slug, a - start, b - start, basis) for slug, a, b, basis in found]


def conserved(database: Database, hours: int) -> dict[str, int]:
    """GPU-seconds by category, after checking that nothing is left over."""
    with database.transaction() as session:
        summary = MeterReporter.conservation(session, Span(at(0), at(hours)))
    assert summary.difference == 0
    return {category.value: amount for category, amount in summary.gpu_seconds.items() if amount}


def test_hours_of_one_holder_are_one_row(database: Database) -> None:
    clock = ManualClock(at(5.1))
    add_tenants(database, clock, "acme")
    source = ScriptedSource({GPU: [(0, 10**10, "acme")]}, up=[(0, 10**10)])
    outcome = collector(database, clock, source).tick()
    assert (outcome.windows, outcome.failures) == (5, 0)
    assert usage(database) == [("acme", 0, 5 * 3600, "observed")]
    assert rows(database, "SELECT count(*) FROM usage") == [(1,)]
    clock.advance(timedelta(hours=3))
    collector(database, clock, source).tick()
    assert usage(database) == [("acme", 0, 8 * 3600, "observed")]
    assert rows(database, "SELECT count(*) FROM usage") == [(1,)]
    assert conserved(database, 8) == {"billed": 8 * 3600}


def test_reading_a_window_again_changes_nothing(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme", "beta")
    script = [(second(0), second(1.3), "acme"), (second(1.5), second(2.2), "beta"), (second(2.2), second(9), "")]
    source = ScriptedSource({GPU: script, GPU2: [(second(0.5), second(9), "")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source)
    collecting.tick()
    before = rows(database, "SELECT * FROM usage ORDER BY id"), rows(database, "SELECT * FROM observation ORDER BY id")
    again = collecting.collect(Span(at(0), at(3)))
    assert (again.windows, again.unchanged) == (3, 3)
    assert before == (
        rows(database, "SELECT * FROM usage ORDER BY id"),
        rows(database, "SELECT * FROM observation ORDER BY id"),
    )


def test_late_samples_supersede_rows_and_delete_none(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme")
    source = ScriptedSource({GPU: [(0, 10**10, "acme")]}, up=[(0, second(1)), (second(2), 10**10)])
    collecting = collector(database, clock, source)
    collecting.tick()
    assert conserved(database, 3)["billed"] < 2.1 * 3600
    source.up = [(0, 10**10)]
    clock.advance(timedelta(hours=6))
    collecting.tick()
    assert usage(database) == [("acme", 0, 9 * 3600, "observed")]
    assert rows(database, "SELECT count(*) > 0 FROM usage WHERE superseded_at IS NOT NULL") == [(True,)]
    assert conserved(database, 9) == {"billed": 9 * 3600}


def test_an_empty_answer_is_a_recorded_gap(database: Database) -> None:
    clock = ManualClock(at(1.1))
    add_tenants(database, clock, "acme")
    source = ScriptedSource({GPU: [(0, 10**10, "acme")]}, up=[(0, second(1))])
    collecting = collector(database, clock, source)
    collecting.tick()
    clock.advance(timedelta(hours=1))
    collecting.tick()
    assert rows(database, "SELECT status, reason FROM reading ORDER BY during DESC LIMIT 1") == [
        ("empty", "the source answered without a single device")
    ]
    found = conserved(database, 2)
    assert found["blind"] >= 3600 and found["billed"] <= 3600


def test_gone_and_unseen_are_told_apart(database: Database) -> None:
    clock = ManualClock(at(4.1))
    add_tenants(database, clock, "acme")
    source = ScriptedSource(
        {GPU: [(0, second(1), "acme"), (second(3), 10**10, "acme")], GPU2: [(0, 10**10, "")]},
        up=[(0, second(2)), (second(3), 10**10)],
    )
    collector(database, clock, source).tick()
    found = conserved(database, 4)
    assert abs(found["excluded"] - 2 * 3600) < 120, "the same holder on both sides: claimed, not billed"
    assert abs(found["blind"] - 3600) < 120 and abs(found["idle"] - 3 * 3600) < 120
    states = rows(
        database,
        "SELECT state, sum(extract(epoch FROM upper(during) - lower(during)))::int FROM observation"
        " WHERE superseded_at IS NULL GROUP BY state ORDER BY state",
    )
    assert [state for state, _ in states] == ["blind", "missing", "present"]


def test_a_lease_beats_a_label_and_is_exact(database: Database) -> None:
    clock = ManualClock(at(1.1))
    add_tenants(database, clock, "beta")
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    source = ScriptedSource({GPU: [(0, 10**10, "beta")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0.5), at(2.25)), hosts=["n1"], reference="L1", actor="test")
    clock.advance(timedelta(hours=2))
    collecting.tick()
    assert usage(database) == [
        ("beta", 0, 1800, "observed"),
        ("acme", 1800, 8100, "lease"),
        ("beta", 8100, 3 * 3600, "observed"),
    ]
    assert conserved(database, 3) == {"billed": 3 * 3600}


def test_a_lease_is_billed_while_the_source_is_blind(database: Database) -> None:
    clock = ManualClock(at(1.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    source = ScriptedSource({GPU: [(0, 10**10, "")]}, up=[(0, second(1.5)), (second(2.5), 10**10)])
    collecting = collector(database, clock, source, rule=OPERATOR)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0), FOREVER), hosts=["n1"], reference="L1", actor="test")
    clock.advance(timedelta(hours=3))
    collecting.tick()
    assert usage(database) == [("acme", 0, 4 * 3600, "lease")]


def test_a_leased_gpu_that_went_missing_long_enough_is_excluded_by_operator_evidence(database: Database) -> None:
    clock = ManualClock(at(1.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    gone = (second(1.9), second(2.5))  # over the edge of a window, and shorter than the minimum in the first of them
    source = ScriptedSource({GPU: [(0, gone[0], ""), (gone[1], 10**10, "")], GPU2: [(0, 10**10, "")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source, rule=OPERATOR)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0), FOREVER), uuids=["GPU-1"], reference="L1", actor="test")
    for _ in range(3):
        clock.advance(timedelta(hours=1))
        collecting.tick()
    found = conserved(database, 4)
    assert abs(found["excluded"] - 0.6 * 3600) <= 120
    assert found["billed"] + found["excluded"] == 4 * 3600
    assert rows(database, "SELECT reason, evidence FROM exclusion WHERE superseded_at IS NULL") == [
        ("device missing", "source:script")
    ]


def test_an_exclusion_that_began_before_the_window_costs_nobody_else_usage(database: Database) -> None:
    """Its span is derived again for the whole source, from where the GPU went missing."""
    clock = ManualClock(at(1.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    add_tenants(database, clock, "beta", "gamma")
    gone = (second(1.2), second(2.5))
    source = ScriptedSource(
        {
            GPU: [(0, gone[0], ""), (gone[1], 10**10, "")],
            GPU2: [(0, second(1.4), "beta"), (second(1.4), second(1.7), "gamma"), (second(1.7), 10**10, "")],
        },
        up=[(0, 10**10)],
    )
    collecting = collector(database, clock, source, rule=OPERATOR)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0), FOREVER), uuids=["GPU-1"], reference="L1", actor="test")
    for _ in range(3):
        clock.advance(timedelta(hours=1))
        collecting.tick()
    labelled = [(slug, start, end) for slug, start, end, basis in usage(database) if basis == "observed"]
    assert [slug for slug, *_ in labelled] == ["beta", "gamma"]
    assert labelled[0][1] == 0 and labelled[0][2] == labelled[1][1] and abs(labelled[1][2] - 1.7 * 3600) < 120
    assert conserved(database, 4)["excluded"] >= 1.2 * 3600


def test_a_lease_that_ends_early_gives_the_time_back(database: Database) -> None:
    clock = ManualClock(at(3.1))
    Registrar(database, clock).add(tenant("acme", "lease"), [], actor="test")
    source = ScriptedSource({GPU: [(0, 10**10, "")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source)
    collecting.tick()
    leaser = Leaser(database, clock)
    leaser.add("acme", Span(at(0), FOREVER), hosts=["n1"], reference="L1", actor="test")
    collecting.tick()
    assert usage(database) == [("acme", 0, 3 * 3600, "lease")]
    leaser.end("L1", at(1.5), actor="test", reason="contract ended")
    collecting.tick()
    assert usage(database) == [("acme", 0, 5400, "lease")]
    assert conserved(database, 3) == {"billed": 5400, "idle": 3 * 3600 - 5400}


def test_overlapping_leases_are_refused_by_name(database: Database) -> None:
    clock = ManualClock(at(1.1))
    registrar = Registrar(database, clock)
    registrar.add(tenant("acme", "lease"), [], actor="test")
    registrar.add(tenant("beta", "lease"), [], actor="test")
    collector(database, clock, ScriptedSource({GPU: [(0, 10**10, "")]}, up=[(0, 10**10)])).tick()
    leaser = Leaser(database, clock)
    leaser.add("acme", Span(at(0), at(5)), hosts=["n1"], reference="L1", actor="test")
    with pytest.raises(Conflict, match=r"GPU-1 on n1 is let to acme \(L1\)"):
        leaser.add("beta", Span(at(4), at(6)), hosts=["n1"], reference="L2", actor="test")
    leaser.add("beta", Span(at(5), at(6)), hosts=["n1"], reference="L3", actor="test")
    with pytest.raises(NotFound, match="n9"):
        leaser.add("beta", Span(at(4), at(6)), hosts=["n9"], actor="test")


def test_two_holders_at_one_instant_are_disputed_and_an_unknown_one_unattributed(database: Database) -> None:
    clock = ManualClock(at(3.1))
    add_tenants(database, clock, "acme", "beta")
    script = [(0, second(2), "acme"), (second(1), second(2), "beta"), (second(2), 10**10, "who")]
    collector(database, clock, ScriptedSource({GPU: script}, up=[(0, 10**10)])).tick()
    found = conserved(database, 3)
    assert all(abs(found[category] - 3600) < 120 for category in ("billed", "disputed", "unattributed"))


def test_a_label_that_is_claimed_later_is_billed_from_its_start(database: Database) -> None:
    clock = ManualClock(at(2.1))
    source = ScriptedSource({GPU: [(0, 10**10, "new-team")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source)
    collecting.tick()
    assert usage(database) == []
    Registrar(database, clock).add(tenant("acme"), ["new-team"], since=at(1), actor="test")
    collecting.tick()
    assert usage(database) == [("acme", 3600, 7200, "observed")]


def test_mig_instances_are_seated_and_billed_apart(database: Database) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme", "beta")
    one, two = DeviceKey("GPU-1", "1", "3g.40gb"), DeviceKey("GPU-1", "2", "1g.10gb")
    script = {
        GPU: [(0, second(1), "acme")],
        one: [(second(1), 10**10, "acme")],
        two: [(second(1), 10**10, "beta")],
    }
    collector(database, clock, ScriptedSource(script, up=[(0, 10**10)])).tick()
    assert {(slug, start // 3600, -(-end // 3600)) for slug, start, end, _ in usage(database)} == {
        ("acme", 0, 1),
        ("acme", 0, 2),
        ("beta", 0, 2),
    } or len(usage(database)) == 3
    found = conserved(database, 2)
    assert abs(found["billed"] - 3600 * (1 + 5 / 8)) < 120 and abs(found["idle"] - 3600 * 3 / 8) < 120


def test_a_gpu_found_in_an_older_window_makes_later_windows_due_again(database: Database) -> None:
    clock = ManualClock(at(6.1))
    source = ScriptedSource(
        {GPU: [(0, second(2), ""), (second(5), 10**10, "")]}, up=[(0, second(2)), (second(5), 10**10)]
    )
    collecting = collector(database, clock, source, since=at(4))
    collecting.tick()
    assert conserved(database, 6).keys() == {"idle"}
    collecting.collect(Span(at(0), at(1)))
    late = collector(database, clock, source, since=at(0))
    late.tick()
    found = conserved(database, 6)
    assert found["idle"] + found["blind"] == 6 * 3600


def test_a_window_that_is_not_over_is_refused(database: Database) -> None:
    collecting = collector(database, ManualClock(at(2.5)), ScriptedSource({}))
    with pytest.raises(Invalid, match="too young"):
        collecting.collect(Span(at(0), at(3)))
    with pytest.raises(NotFound, match="nowhere"):
        collecting.collect(Span(at(0), at(1)), ["nowhere"])


def test_a_failing_source_is_noted_keeps_what_was_read_and_is_tried_again(database: Database) -> None:
    class Failing(ScriptedSource):
        broken = True

        def read(self, window: Seconds) -> Reading:
            if self.broken and window[0] >= epoch_seconds(at(2)):
                raise Unavailable("source script does not answer")
            return super().read(window)

    clock = ManualClock(at(4.1))
    source = Failing({GPU: [(0, 10**10, "")]}, up=[(0, 10**10)])
    collecting = collector(database, clock, source)
    outcome = collecting.tick()
    assert (outcome.windows, outcome.failures) == (2, 1)
    assert rows(database, "SELECT failure FROM source") == [("source script does not answer",)]
    assert [epoch_seconds(at(h)) for h in (2, 3)] == [start for start, _ in collecting.due("script", 2)]
    source.broken = False
    collecting.tick()
    assert rows(database, "SELECT failure, failed_at FROM source") == [("", None)]
    assert conserved(database, 4) == {"idle": 4 * 3600}


def test_a_gpu_that_two_sources_see_is_billed_once(database: Database) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme")
    script = {GPU: [(0, 10**10, "acme")]}
    one = ScriptedSource(script, up=[(0, 10**10)], name="one")
    two = ScriptedSource(script, up=[(0, 10**10)], name="two")
    collector(database, clock, one, two).tick()
    assert usage(database) == [("acme", 0, 7200, "observed")]
    assert "also seen by one" in str(rows(database, "SELECT reason FROM reading WHERE reason <> ''"))

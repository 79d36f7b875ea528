"""Exclusions of leased time: who may decide, what is long enough, what is capped, what people announce."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import FOREVER, Seconds, Span, length, merge
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector
from billing.metering.excluder import Announcement, Excluder
from billing.metering.exclusion import Maintenance, Word, announced, proven, unbilled
from billing.metering.store import decisions
from billing.metering.usage import ExclusionRule, Gaps, Held
from billing.tenants.registrar import GapChange, Registrar
from billing.tenants.tenant import EXCLUDE_GAPS, GapPolicy, GapRule, GapTerm
from tests.factories import ScriptedSource, at, collector, second, tenant
from tests.metering.test_collector import conserved, rows, usage

GPU, GPU2 = DeviceKey("GPU-1"), DeviceKey("GPU-2")
GONE = (second(1.2), second(2.4))
spans = st.tuples(st.integers(0, 3_000_000), st.integers(1, 400_000)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(spans, max_size=6), st.lists(spans, max_size=2), st.integers(0, 500_000), st.integers(1, 90_000))
def test_a_cap_bounds_what_is_excluded_without_a_person_and_loses_nothing(
    gone: list[Seconds], settled: list[Seconds], cap: int, minimum: int
) -> None:
    """January 1970 has 2,678,400 seconds."""
    lease = Held(1, 1, (0, 10**9))
    found = proven(gone, [lease], settled, Word("s", ExclusionRule(True, minimum, cap), Gaps()))
    without = proven(gone, [lease], settled, Word("s", ExclusionRule(True, minimum), Gaps()))
    assert merge((s, e) for s, e, _ in found) == unbilled(without), "what is not excluded is proposed"
    for month in ((0, 2_678_400), (2_678_400, 10**9)):
        inside = [(s, e) for s, e, one in found if one.state == "accepted" and month[0] <= s < month[1]]
        whole = length([(s, e) for s, e, _ in found if month[0] <= s < month[1]])
        assert length(inside) == min(cap, whole)


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=3).map(merge))
def test_maintenance_excludes_leased_time_once(windows: list[Seconds], leased: list[Seconds]) -> None:
    found = announced([Maintenance(str(i), "work", span) for i, span in enumerate(windows)], leased, [])
    wanted = {s for start, end in windows for s in (start, end - 1) if any(a <= s < b for a, b in leased)}
    assert length([(s, e) for s, e, _ in found]) == length(unbilled(found)), "no second twice"
    assert all(any(s <= one < e for s, e, _ in found) for one in wanted)
    assert all(any(a <= s and e <= b for a, b in leased) for s, e in unbilled(found))


def test_leases_that_are_billed_in_full_and_evidence_of_tenants_are_only_proposed() -> None:
    lease, gone = Held(1, 1, (0, 10_000)), [(0, 1000), (5000, 6000)]
    by_lease = Gaps([GapTerm(1, GapRule(GapPolicy.LEASE), since=3000)])
    found = proven(gone, [lease], [], Word("s", ExclusionRule(True, 900), by_lease))
    assert [(s, one.state, one.evidence) for s, _, one in found] == [
        (0, "accepted", "source:s"),
        (5000, "proposed", "source:s, and the tenant is billed by lease"),
    ]
    (one, other) = proven(gone, [lease], [], Word("s", ExclusionRule(False, 900), Gaps()))
    assert one[2].state == other[2].state == "proposed" and one[2].evidence == "source:s, which the tenant controls"


def leased(
    database: Database, clock: ManualClock, rule: ExclusionRule, seen_until: int = GONE[0]
) -> tuple[Collector, ScriptedSource, Excluder]:
    """acme leases GPU-1, which was missing for 72 minutes (and nobody looked from `seen_until` on); beta is seen on GPU-2."""
    registrar = Registrar(database, clock)
    registrar.add(tenant("acme", "lease"), [], actor="test")
    registrar.add(tenant("beta"), ["beta"], actor="test")
    source = ScriptedSource(
        {GPU: [(0, seen_until, ""), (GONE[1], 10**10, "")], GPU2: [(0, 10**10, "beta")]},
        up=[(0, seen_until), (GONE[0], 10**10)],
    )
    collecting = collector(database, clock, source, rule=rule)
    collecting.tick()
    Leaser(database, clock).add("acme", Span(at(0), FOREVER), uuids=["GPU-1"], reference="L1", actor="test")
    for _ in range(4):
        clock.advance(timedelta(hours=1))
        collecting.tick()
    return collecting, source, Excluder(database, clock, lambda session, gpus, span: [])


def billed(database: Database, slug: str = "acme") -> int:
    return sum(end - start for one, start, end, _ in usage(database) if one == slug)


def test_a_tenants_evidence_is_billed_until_finance_accepts_it_and_stays_decided(database: Database) -> None:
    clock = ManualClock(at(1.1))
    collecting, _, excluder = leased(database, clock, ExclusionRule(False, 900))
    assert billed(database) == 5 * 3600
    with database.transaction() as session:
        (found,) = decisions.exclusions(session, state="proposed")
    assert (found["tenant"], found["lease"], found["gpu"], found["reason"]) == ("acme", "L1", "GPU-1", "device missing")
    with pytest.raises(Invalid, match="needs a reason"):
        excluder.decide(found["id"], accept=True, reason=" ", actor="test")
    done = excluder.decide(found["id"], accept=True, reason="ticket 7", actor="test")
    collecting.apply_changes()
    assert billed(database) == 5 * 3600 - found["seconds"]
    assert conserved(database, 5) == {"billed": 10 * 3600 - found["seconds"], "excluded": found["seconds"]}
    collecting.collect(Span(at(0), at(5)))
    assert billed(database) == 5 * 3600 - found["seconds"], "reading it again does not undo a decision"
    with pytest.raises(Conflict, match="was replaced since it was listed"):
        excluder.decide(found["id"], accept=False, reason="no", actor="test")
    with pytest.raises(Conflict, match="is accepted already"):
        excluder.decide(done.id, accept=True, reason="again", actor="test")
    excluder.decide(done.id, accept=False, reason="the tenant pulled the plug", actor="test")
    collecting.apply_changes()
    assert billed(database) == 5 * 3600
    with database.transaction() as session:
        assert decisions.exclusions(session, state="proposed") == [], "what was rejected is not proposed again"
    assert rows(database, "SELECT action, reason FROM trail WHERE action LIKE 'exclusion.%' ORDER BY id") == [
        ("exclusion.accepted", "ticket 7"),
        ("exclusion.rejected", "the tenant pulled the plug"),
    ]
    with pytest.raises(NotFound, match="no exclusion 999"):
        excluder.decide(999, accept=True, reason="x", actor="test")


def test_operator_evidence_over_the_cap_is_proposed_in_whatever_order_windows_are_read(database: Database) -> None:
    clock = ManualClock(at(1.1))
    collecting, source, _ = leased(database, clock, ExclusionRule(True, 900, cap_seconds=1800), seen_until=second(0.5))
    assert billed(database) == 5 * 3600 - 1800

    def states() -> list[tuple[Any, ...]]:
        return rows(
            database,
            "SELECT extract(epoch FROM upper(during) - lower(during))::int, state FROM exclusion"
            " WHERE superseded_at IS NULL ORDER BY during",
        )

    before = states()
    assert [state for _, state in before] == ["accepted", "proposed"] and before[0][0] == 1800
    source.up = [(0, 10**10)]
    collecting.collect(Span(at(0), at(1)))
    assert sum(seconds for seconds, state in states() if state == "accepted") == 1800
    assert billed(database) == 5 * 3600 - 1800
    assert rows(database, "SELECT max(lower(during)) < '2026-10-01T01:00Z' FROM exclusion"
                " WHERE superseded_at IS NULL AND state = 'accepted'") == [(True,)]  # fmt: skip


def test_too_short_is_not_even_proposed(database: Database) -> None:
    leased(database, ManualClock(at(1.1)), ExclusionRule(False, 7200))
    assert rows(database, "SELECT id FROM exclusion") == []


def test_another_policy_turns_automatic_exclusions_into_proposals(database: Database) -> None:
    clock = ManualClock(at(1.1))
    collecting, _, _ = leased(database, clock, ExclusionRule(True, 900))
    assert billed(database) < 5 * 3600
    Registrar(database, clock).set_gap("acme", GapChange(GapRule(GapPolicy.LEASE)), actor="test")
    collecting.apply_changes()
    assert billed(database) == 5 * 3600
    assert rows(database, "SELECT state FROM exclusion WHERE superseded_at IS NULL") == [("proposed",)]


def test_maintenance_is_not_billed_to_leases_and_is_to_who_was_seen(database: Database) -> None:
    clock = ManualClock(at(1.1))
    collecting, _, excluder = leased(database, clock, ExclusionRule(True, 900))
    missing = 5 * 3600 - billed(database)
    work = Announcement(Span(at(3), at(9)), "new fans", hosts=["n1"], reference="fans")
    excluder.announce(work, actor="ops")
    collecting.apply_changes()
    assert billed(database) == 3 * 3600 - missing and billed(database, "beta") == 5 * 3600
    clock.advance(timedelta(hours=1))
    collecting.tick()
    assert billed(database) == 3 * 3600 - missing, "time that is read later is excluded too"
    excluder.end("fans", at(4), reason="done early", actor="ops")
    collecting.apply_changes()
    assert billed(database) == 5 * 3600 - missing
    found = conserved(database, 6)
    assert found["excluded"] == 3600 + missing
    assert rows(
        database, "SELECT reason, evidence FROM exclusion WHERE superseded_at IS NULL AND reason LIKE 'm%'"
    ) == [("maintenance: new fans", "maintenance:fans")]
    excluder.cancel("fans", reason="it was another rack", actor="ops")
    collecting.apply_changes()
    assert billed(database) == 6 * 3600 - missing
    assert [action for (action,) in rows(database, "SELECT action FROM trail WHERE subject = 'maintenance fans' ORDER BY id")] == [
        "maintenance.add", "maintenance.end", "maintenance.cancel",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="no maintenance fans"):
        excluder.end("fans", at(4), actor="ops")


def test_a_gpu_that_is_missing_in_a_window_is_excluded_once(database: Database) -> None:
    clock = ManualClock(at(1.1))
    collecting, _, excluder = leased(database, clock, ExclusionRule(True, 900, cap_seconds=600))
    excluder.announce(Announcement(Span(at(1), at(3)), "new fans", uuids=["GPU-1"]), actor="ops")
    collecting.apply_changes()
    assert billed(database) == 3 * 3600
    assert conserved(database, 5) == {"billed": 8 * 3600, "excluded": 2 * 3600}
    assert rows(database, "SELECT id FROM exclusion WHERE superseded_at IS NULL AND state = 'proposed'") == []


def test_maintenance_in_invoiced_time_needs_to_be_asked_for(database: Database) -> None:
    clock = ManualClock(at(1.1))
    leased(database, clock, ExclusionRule(True, 900))
    excluder = Excluder(database, clock, lambda session, gpus, span: ["INV-000001"])
    work = Announcement(Span(at(1), at(3)), "new fans", uuids=["GPU-1"], reference="fans")
    with pytest.raises(Conflict, match=r"was invoiced \(INV-000001\); --adjust"):
        excluder.announce(work, actor="ops")
    excluder.announce(Announcement(work.span, work.reason, uuids=["GPU-1"], reference="fans", adjust=True), actor="ops")
    with pytest.raises(Conflict, match="was invoiced"):
        excluder.cancel("fans", reason="no", actor="ops")
    with pytest.raises(Invalid, match="needs a host or a GPU"):
        excluder.announce(Announcement(work.span, "why"), actor="ops")
    with pytest.raises(Invalid, match="needs an end"):
        excluder.announce(Announcement(Span(at(1), FOREVER), "why", uuids=["GPU-1"]), actor="ops")


@pytest.mark.parametrize("limit", [0, 6 * 3600])
def test_the_cap_of_a_month_does_not_depend_on_another_tenants_bridging(database: Database, limit: int) -> None:
    clock = ManualClock(at(60))
    registrar = Registrar(database, clock)
    registrar.add(tenant("metal", "lease"), [], actor="test")
    gap = GapRule(GapPolicy.BRIDGE, limit) if limit else EXCLUDE_GAPS
    registrar.add(tenant("pods"), ["pods"], gap=gap, actor="test")
    script = {
        GPU: [(0, second(5), ""), (second(7), second(50), ""), (second(52), 10**10, "")],
        GPU2: [(0, 10**10, "pods")],
    }
    source = ScriptedSource(script, up=[(0, 10**10)])
    collecting = collector(database, clock, source, rule=ExclusionRule(True, 900, 3600))
    collecting.collect(Span(at(0), at(48)))
    Leaser(database, clock).add("metal", Span(at(0), at(24, day=31)), uuids=["GPU-1"], reference="L", actor="test")
    collecting.apply_changes()
    for hour in range(48, 59):
        collecting.collect(Span(at(hour), at(hour + 1)))
    ((accepted,),) = rows(
        database,
        "SELECT sum(extract(epoch FROM upper(during) - lower(during)))::int FROM exclusion"
        " WHERE superseded_at IS NULL AND state = 'accepted'",
    )
    assert accepted == 3600

"""Gap policies, from readings to invoice lines' evidence, in a real database."""

from datetime import timedelta

import pytest

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.core.period import FOREVER, Span, month
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.store import facts
from billing.pricing.rater import Rater, rated
from billing.tenants.registrar import GapChange, Registrar
from billing.tenants.tenant import GapPolicy, GapRule
from tests.factories import ScriptedSource, at, collector, second, tenant
from tests.metering.test_collector import conserved, rows, usage
from tests.world import BOOK

GPU, GPU2 = DeviceKey("GPU-1"), DeviceKey("GPU-2")
BRIDGE = GapRule(GapPolicy.BRIDGE, 1200)
BLIND = (second(1.9), second(2.1))


def source() -> ScriptedSource:
    """acme and beta hold a GPU each; the exporter is away for 12 minutes over the end of a window."""
    return ScriptedSource(
        {GPU: [(0, 10**10, "acme")], GPU2: [(0, 10**10, "beta")]}, up=[(0, BLIND[0]), (BLIND[1], 10**10)]
    )


def registered(database: Database, clock: ManualClock, gap: GapRule = BRIDGE) -> Registrar:
    registrar = Registrar(database, clock)
    registrar.add(tenant("acme"), ["acme"], gap=gap, actor="test")
    registrar.add(tenant("beta"), ["beta"], actor="test")
    return registrar


def test_a_short_blind_gap_is_billed_to_who_bridges_and_excluded_for_who_does_not(database: Database) -> None:
    clock = ManualClock(at(2.1))
    registered(database, clock)
    collecting = collector(database, clock, source())
    for _ in range(3):
        collecting.tick()
        clock.advance(timedelta(hours=1))
    acme = [row for row in usage(database) if row[0] == "acme"]
    assert (acme[0][1], acme[-1][2]) == (0, 4 * 3600) and len(acme) == 3, "seen, bridged, seen"
    beta = sum(end - start for slug, start, end, _ in usage(database) if slug == "beta")
    assert beta < 4 * 3600 - 600
    found = conserved(database, 4)
    assert found == {"billed": 4 * 3600 + beta, "excluded": 4 * 3600 - beta}
    ((bridged,),) = rows(
        database, "SELECT sum(extract(epoch FROM upper(during) - lower(during)))::bigint FROM usage"
        " WHERE superseded_at IS NULL AND bridged"
    )  # fmt: skip
    assert bridged == 4 * 3600 - beta


def test_bridged_time_is_billed_but_not_measured_and_explained(database: Database) -> None:
    clock = ManualClock(at(5.1))
    registered(database, clock)
    collector(database, clock, source()).tick()
    Rater(database, clock, lambda session: None).apply(BOOK, actor="test")
    with database.transaction() as session:
        found = {line.key.tenant_id: (line, behind) for line, behind in rated(session, month(2026, 10)).lines}
        behind = facts.intervals(session, 1, "h100", month(2026, 10))
    (acme, seen), (beta, other) = found[1], found[2]
    assert acme.seconds == 5 * 3600 and seen.bridged_seconds == 5 * 3600 - beta.seconds > 600
    assert seen.measured_seconds == acme.seconds - seen.bridged_seconds and not seen.excluded
    assert other.bridged_seconds == 0 and other.measured_seconds == beta.seconds
    assert other.excluded == [("source blind", seen.bridged_seconds)]
    assert [row["because"] for row in behind] == [
        "label seen by script", "gap bridged, label seen by script before and after", "label seen by script",
    ]  # fmt: skip
    assert facts.usage_digest(behind) == seen.usage_digest


def test_a_gap_that_turns_out_longer_than_the_limit_is_not_billed_at_all(database: Database) -> None:
    clock = ManualClock(at(5.1))
    registered(database, clock, GapRule(GapPolicy.BRIDGE, 300))
    collector(database, clock, source()).tick()
    assert not rows(database, "SELECT id FROM usage WHERE bridged")


def test_a_gpu_that_was_missing_is_never_bridged(database: Database) -> None:
    clock = ManualClock(at(5.1))
    registered(database, clock)
    gone = ScriptedSource(
        {GPU: [(0, BLIND[0], "acme"), (BLIND[1], 10**10, "acme")], GPU2: [(0, 10**10, "")]}, [(0, 10**10)]
    )
    collector(database, clock, gone).tick()
    assert not rows(database, "SELECT id FROM usage WHERE bridged")
    assert conserved(database, 5)["excluded"] > 600


def test_late_samples_take_a_bridge_back(database: Database) -> None:
    clock = ManualClock(at(4.1))
    registered(database, clock)
    one = source()
    collecting = collector(database, clock, one)
    collecting.tick()
    one.devices = {
        GPU: [(0, second(1.95), "acme"), (second(1.95), second(2.05), "beta"), (second(2.05), 10**10, "acme")]
    }
    one.up = [(0, 10**10)]
    collecting.collect(Span(at(1), at(3)))
    assert not rows(database, "SELECT id FROM usage WHERE bridged AND superseded_at IS NULL")
    assert [slug for slug, *_ in usage(database) if slug == "beta"]


def test_another_policy_derives_only_what_was_not_invoiced(database: Database) -> None:
    clock = ManualClock(at(5.1))
    registered(database, clock, GapRule())
    registrar = Registrar(database, clock, lambda session, tenant_id: at(3))
    one = source()
    one.up = [(0, BLIND[0]), (BLIND[1], second(3.2)), (second(3.4), 10**10)]
    collecting = collector(database, clock, one)
    collecting.tick()
    with pytest.raises(Conflict, match="acme was invoiced until 2026-10-01T03:00:00Z"):
        registrar.set_gap("acme", GapChange(BRIDGE, at(2)), actor="test")
    assert registrar.set_gap("acme", GapChange(BRIDGE, reason="contract"), actor="test") == at(3)
    assert collecting.apply_changes() == 1
    starts = [
        start for (start,) in rows(database, "SELECT lower(during) FROM usage WHERE bridged AND superseded_at IS NULL")
    ]
    assert len(starts) == 1 and starts[0] > at(3)
    assert collecting.apply_changes() == 0
    assert rows(database, "SELECT reason FROM trail WHERE action = 'tenant.gap'") == [("contract",)]


def test_a_lease_bills_nothing_beyond_what_was_read_though_gaps_are_looked_for_there(database: Database) -> None:
    clock = ManualClock(at(2.1))
    registered(database, clock, GapRule(GapPolicy.BRIDGE, 7200))
    Registrar(database, clock).add(tenant("metal", "lease"), [], actor="test")
    collecting = collector(database, clock, source())
    collecting.tick()
    Leaser(database, clock).add("metal", Span(at(0), FOREVER), uuids=["GPU-2"], reference="L1", actor="test")
    collecting.apply_changes()
    assert [row for row in usage(database) if row[0] == "metal"] == [("metal", 0, 2 * 3600, "lease")]


def test_rules_that_make_no_sense_are_refused() -> None:
    for policy, limit in (
        (GapPolicy.BRIDGE, 0),
        (GapPolicy.BRIDGE, 86_401),
        (GapPolicy.EXCLUDE, 5),
        (GapPolicy.LEASE, 5),
    ):
        with pytest.raises(Invalid, match="gap policy"):
            GapRule(policy, limit)

"""Leases: one holder of a GPU at a moment, all of the named GPUs or none, and every change says what to derive again."""

import threading

import pytest
from sqlalchemy import text

from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import FOREVER, Span
from billing.db.engine import Database
from billing.fleet import store as fleet
from billing.fleet.gpu import DeviceKey, Sighting
from billing.leasing import store
from billing.leasing.leaser import Leaser
from billing.trail.store import about
from tests.factories import H100, add_tenants, at, second


@pytest.fixture
def leaser(database: Database) -> Leaser:
    """Two tenants, and two GPUs that are seen from the fifth hour on."""
    clock = ManualClock(at(24))
    add_tenants(database, clock, "acme", "beta")
    seen = [(second(5), second(6))]
    with database.transaction() as session:
        sightings = [Sighting(u, H100, "n1", "n1:9400", {DeviceKey(u): seen}) for u in ("GPU-1", "GPU-2")]
        fleet.register(session, "s", sightings)
    return Leaser(database, clock)


def spans(database: Database) -> dict[str, list[tuple[int, int]]]:
    with database.transaction() as session:
        found: dict[str, list[tuple[int, int]]] = {}
        for lease in store.listed(session):
            found.setdefault(lease.uuid, []).append(lease.seconds)
        return found


def test_a_host_is_let_with_all_its_gpus_and_is_in_service_from_then_on(leaser: Leaser, database: Database) -> None:
    leases = leaser.add("acme", Span(at(1), FOREVER), hosts=["n1"], reference="c1", actor="ops")
    assert [(one.uuid, one.tenant, one.span.is_open) for one in leases] == [
        ("GPU-1", "acme", True),
        ("GPU-2", "acme", True),
    ]
    with database.transaction() as session:
        assert {device.in_service[0] for device in fleet.devices(session)} == {second(1)}
        (deed,) = about(session, "lease c1")
        assert (deed.actor, deed.action, deed.details["gpus"]) == ("ops", "lease.add", 2)
        assert [span for _, span in store.underived(session)] == [Span(at(1), FOREVER)] * 2


@pytest.mark.parametrize(("start", "end"), [(0, 11), (10, 11), (19, 30), (0, 30), (12, 13), (19.9999, 20.5)])
def test_an_overlap_is_refused_with_the_other_lease_named(
    leaser: Leaser, database: Database, start: float, end: float
) -> None:
    leaser.add("acme", Span(at(10), at(20)), uuids=["GPU-1"], reference="c1", actor="ops")
    before = spans(database)
    for tenant in ("beta", "acme"):
        with pytest.raises(Conflict, match=r"GPU-1 on n1 is let to acme \(c1\)"):
            leaser.add(tenant, Span(at(start), at(end)), hosts=["n1"], actor="ops")
    assert spans(database) == before, "GPU-2 was free, and was not let either"


def test_leases_that_only_touch_are_no_overlap(leaser: Leaser, database: Database) -> None:
    for number, (start, end) in enumerate([(10, 20), (20, 30), (5, 10)]):
        leaser.add("acme", Span(at(start), at(end)), uuids=["GPU-1"], reference=f"c{number}", actor="ops")
    assert len(spans(database)["GPU-1"]) == 3


def test_two_at_once_are_one(leaser: Leaser, database: Database) -> None:
    """Both look, both see a free GPU: the database lets one of them have it."""
    barrier, outcomes = threading.Barrier(2), []

    def let(tenant: str) -> None:
        barrier.wait()
        try:
            leaser.add(tenant, Span(at(10), at(20)), uuids=["GPU-1"], reference=tenant, actor="ops")
            outcomes.append("let")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=let, args=(tenant,)) for tenant in ("acme", "beta")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["let", "refused"] and len(spans(database)["GPU-1"]) == 1


def test_the_database_refuses_an_overlap_by_itself(leaser: Leaser, database: Database) -> None:
    leaser.add("acme", Span(at(10), at(20)), uuids=["GPU-1"], reference="c1", actor="ops")
    with pytest.raises(Conflict, match="the database refused"), database.transaction() as session:
        (gpu_id,) = fleet.gpu_ids(session, uuids=["GPU-1"])
        session.execute(
            text(
                "INSERT INTO lease (reference, tenant_id, gpu_id, seat, during, created_at)"
                " SELECT 'c2', tenant_id, gpu_id, int8range(lower(seat), lower(seat) + 1), during, created_at FROM lease"
                " WHERE gpu_id = :gpu"
            ),
            {"gpu": gpu_id},
        )


def test_a_lease_ends_once_after_it_began(leaser: Leaser, database: Database) -> None:
    leaser.add("acme", Span(at(10), FOREVER), uuids=["GPU-1"], reference="c1", actor="ops")
    with database.transaction() as session:
        store.mark_derived(session, store.underived(session))
    with pytest.raises(Invalid, match="c1 began later"):
        leaser.end("c1", at(10), actor="ops")
    (ended,) = leaser.end("c1", at(15), actor="ops", reason="left")
    assert ended.seconds == (second(10), second(15))
    with database.transaction() as session:
        assert [span for _, span in store.underived(session)] == [Span(at(15), FOREVER)], "only what changed"
    with pytest.raises(Conflict, match="c1 ended at"):
        leaser.end("c1", at(15), actor="ops")
    (shorter,) = leaser.end("c1", at(12), actor="ops")
    assert shorter.seconds == (second(10), second(12))
    with database.transaction() as session:
        assert [span for _, span in store.underived(session)] == [Span(at(12), FOREVER)], "both changes"
        assert [deed.action for deed in about(session, "lease c1")] == ["lease.add", "lease.end", "lease.end"]
    leaser.add("beta", Span(at(12), FOREVER), uuids=["GPU-1"], actor="ops")


def test_a_lease_of_nothing_or_by_nobody_is_refused(leaser: Leaser, database: Database) -> None:
    with pytest.raises(Invalid, match="needs a host or a GPU"):
        leaser.add("acme", Span(at(1), at(2)), actor="ops")
    with pytest.raises(NotFound, match="no tenant nobody"):
        leaser.add("nobody", Span(at(1), at(2)), hosts=["n1"], actor="ops")
    with pytest.raises(NotFound, match="no lease c9"):
        leaser.end("c9", at(2), actor="ops")
    assert spans(database) == {}

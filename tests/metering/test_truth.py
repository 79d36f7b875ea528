"""A simulated fleet with known truth, through a real Prometheus: what is billed is what was, to the interval; under a
lease, to the second."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from billing.core.clock import ManualClock
from billing.core.period import Seconds, Span, merge, subtract
from billing.db.engine import Database
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Cadence
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from billing.tenants.registrar import Registrar
from tests.factories import OPERATOR, add_tenants, at, no_fence, second, tenant
from tests.metering import simulation
from tests.metering.simulation import END, HOURS, INTERVAL, START, World, inside
from tests.metering.test_collector import conserved, rows
from tests.parts import prometheus

TENANTS = ("team-a", "team-b", "team-c", "team-d")
LEASED = ("node-0", "node-4", "node-5")
LEASE = (second(1.5), second(21.25))
DAY: Seconds = (second(0), second(HOURS))


class Billed(NamedTuple):
    tenant: str
    device: str
    start: int
    end: int
    basis: str


def day(url: str) -> tuple[PrometheusSource, Feed]:
    source = PrometheusSource(
        PrometheusSettings(name="coast", url=url, cadence=Cadence(INTERVAL * 1000, INTERVAL * 2500), timeout_seconds=30)
    )
    return source, Feed(source, "prometheus", OPERATOR, at(0))


def usage(database: Database) -> list[Billed]:
    found = rows(
        database,
        "SELECT t.slug, g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END,"
        " extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint, basis"
        " FROM usage u JOIN tenant t ON t.id = u.tenant_id JOIN device d ON d.id = u.device_id"
        " JOIN gpu g ON g.id = d.gpu_id WHERE superseded_at IS NULL ORDER BY 2, 3",
    )
    return [Billed(*row) for row in found]


@pytest.fixture(scope="module")
def world() -> World:
    return simulation.world(20261001, TENANTS)


@pytest.fixture(scope="module")
def served(world: World, scratch: Path) -> Iterator[str]:
    with prometheus(scratch / "truth", world.openmetrics()) as url:
        yield url


@pytest.fixture
def metered(served: str, database: Database) -> Iterator[Database]:
    """The day, read hour by hour as it passes; three hosts are let to a tenant of leases. Then everything is read again."""
    clock = ManualClock(at(0.1))
    add_tenants(database, clock, *TENANTS)
    Registrar(database, clock).add(tenant("lessee", "lease"), [], actor="test")
    source, feed = day(served)
    collector = Collector(database, clock, [feed], no_fence)
    for hour in range(1, HOURS + 1):
        clock.advance(at(hour + 0.2) - clock.now())
        if hour == 2:
            Leaser(database, clock).add(
                "lessee", Span.from_seconds(LEASE), hosts=LEASED, reference="contract", actor="test"
            )
        outcome = collector.tick()
        assert outcome.failures == 0
    clock.advance(timedelta(hours=30))
    collector.collect(Span(at(0), at(HOURS)))
    yield database
    source.close()


def truth(world: World) -> tuple[dict[tuple[str, str], int], Counter[tuple[str, str]]]:
    """Milliseconds by tenant and device that a label held what could be seen, outside of leases; and how many edges a
    scrape could only find to the nearest interval."""
    held: dict[tuple[str, str], int] = defaultdict(int)
    edges: Counter[tuple[str, str]] = Counter()
    let = (LEASE[0] * 1000, LEASE[1] * 1000)
    leased = {gpu.uuid for host in world.hosts if host.name in LEASED for start, _, gpu in host.gpus if start < let[0]}
    for gpu in world.gpus:
        hidden = world.hidden(gpu) + ([let] if gpu.uuid in leased else [])
        for part in gpu.parts:
            name = gpu.uuid + (f"/{part.gpu_i_id}:{part.profile}" if part.profile else "")
            for start, end, who in part.held:
                seen = subtract(
                    [(max(start, START, part.exists[0]), min(end, END, part.exists[1]))],
                    merge(span for span in hidden if span[0] < span[1]),
                )
                held[who, name] += sum(b - a for a, b in seen if a < b)
                edges[who, name] += 2 * len(seen)
    return held, edges


def test_labels_are_billed_to_the_interval_and_without_bias(metered: Database, world: World) -> None:
    billed: Counter[tuple[str, str]] = Counter()
    for one in usage(metered):
        if one.basis == "observed":
            billed[one.tenant, one.device] += (one.end - one.start) * 1000
    held, edges = truth(world)
    assert set(billed) <= set(held), "nobody is billed for what he never held"
    off = {key: billed[key] - held[key] for key in held}
    assert {key: amount for key, amount in off.items() if abs(amount) > edges[key] * INTERVAL * 1000} == {}
    assert sum(edges.values()) > 100
    assert abs(sum(off.values())) * 10_000 < sum(held.values()), "the errors do not add up to 0.01 %"


def test_leases_are_billed_to_the_second(metered: Database, world: World) -> None:
    """All GPUs of three hosts, but for the time in which the operator's own evidence says that one was gone."""
    by_device: dict[str, list[Seconds]] = defaultdict(list)
    for one in usage(metered):
        if one.basis == "lease":
            assert one.tenant == "lessee"
            by_device[one.device].append((one.start, one.end))
    excluded: dict[str, list[Seconds]] = defaultdict(list)
    for uuid, start, end in rows(
        metered,
        "SELECT uuid, extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint"
        " FROM exclusion JOIN gpu ON gpu.id = gpu_id WHERE superseded_at IS NULL AND state = 'accepted'",
    ):
        excluded[uuid].append((start, end))
    let = {gpu.uuid: gpu for host in world.hosts if host.name in LEASED for start, _, gpu in host.gpus if start < START}
    assert set(by_device) == set(let) and len(let) == 24
    for uuid, gpu in let.items():
        assert merge([*by_device[uuid], *excluded[uuid]]) == [LEASE], "billed and excluded are the lease, to the second"
        assert not any(a[0] < b[1] and b[0] < a[1] for a in by_device[uuid] for b in excluded[uuid])
        long = [span for span in gpu.gone if span[1] - span[0] > 900_000 + INTERVAL * 1000]
        for (start, end), (truly_start, truly_end) in zip(sorted(excluded[uuid]), sorted(long), strict=True):
            assert abs(start - truly_start / 1000) <= INTERVAL + 1 and abs(end - truly_end / 1000) <= INTERVAL + 1


def test_every_gap_is_listed_with_its_cause(metered: Database, world: World) -> None:
    """For each outage and each GPU that was gone there is a row, as long as it was, and there is no row for anything else."""
    stored = rows(
        metered,
        "SELECT uuid, state, reason, extract(epoch FROM lower(during))::bigint, extract(epoch FROM upper(during))::bigint"
        " FROM observation JOIN device d ON d.id = device_id JOIN gpu ON gpu.id = gpu_id"
        " WHERE superseded_at IS NULL AND state <> 'present' ORDER BY uuid, during",
    )
    found = {(uuid, state): [row[3:] for row in stored if row[:2] == (uuid, state)] for uuid, state, *_ in stored}
    wanted: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    slack = (INTERVAL + 1) * 1000
    repartitioned = {gpu.uuid for gpu in world.gpus if len(gpu.parts) > 1}
    for host in world.hosts:
        for start, _, gpu in host.gpus:
            if start < START and gpu.uuid not in repartitioned:
                wanted[gpu.uuid, "missing"] += [gap for gap in gpu.gone if gap[1] - gap[0] > 3 * INTERVAL * 1000]
                wanted[gpu.uuid, "blind"] += host.down
    for key, gaps in wanted.items():
        seen = found.pop(key, [])
        assert len(seen) == len(gaps), f"{key}: {seen}"
        for (a, b), (start, end) in zip(seen, sorted(gaps), strict=True):
            assert abs(a * 1000 - start) <= slack and abs(b * 1000 - end) <= slack
    assert {uuid for uuid, _ in found} <= repartitioned, "while a GPU is cut anew, it is away for a moment"
    assert {row[2] for row in stored} == {"the exporter answered without this device", "no answer from the exporter"}
    listed = rows(metered, "SELECT status, reason FROM reading WHERE superseded_at IS NULL AND status <> 'complete'")
    assert len(listed) >= 6 and all(reason for _, reason in listed)


def test_every_second_of_every_gpu_is_in_one_category(metered: Database, world: World) -> None:
    found = conserved(metered, HOURS)
    assert sum(found.values()) == HOURS * 3600 * len(world.gpus)
    assert "unread" not in found and "disputed" not in found


def test_the_simulation_is_not_trivial(world: World) -> None:
    assert len(world.gpus) == 64
    assert any(len(host.offsets) > 1 for host in world.hosts) and any(len(host.addresses) > 1 for host in world.hosts)
    held = [part.holder(START + hour * 3_600_000) for gpu in world.gpus for part in gpu.parts for hour in range(HOURS)]
    assert set(held) == {*TENANTS, ""}
    assert inside(simulation.during(5.5, 6)[0], world.hosts[4].down)

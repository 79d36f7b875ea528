"""A day of 2,400 GPUs from a real Prometheus: fetch, integrate, store, derive; against a client that only downloads the
same samples and adds them up. The metered seconds are compared with what is known to be right."""

import gc
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import orjson
import psycopg
from sqlalchemy import make_url, text

from benchmarks.fleet import (
    DAY_SPAN,
    FIRST,
    INTERVAL,
    LAST,
    MAX_GAP,
    Fleet,
    backfill,
    billed_by_rule,
    fleet,
    serving,
    truly_held,
)
from benchmarks.measure import Cost, line, measured, middle, note, ratio, title
from billing.core.clock import ManualClock
from billing.core.period import HOUR, Seconds, Span, windows
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.fleet import store as inventory
from billing.fleet.gpu import DeviceKey, Sighting
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Cadence
from billing.metering.sources.promapi import Access
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from billing.metering.usage import ExclusionRule
from billing.tenants.registrar import Registrar
from tests.factories import no_fence, tenant

HOSTS: Final = 300
REPEATS: Final = 5
RATIO_TARGET: Final = 2.0
SHORT_HOURS: Final = 8
SOURCE: Final = "brisbane"


def main() -> None:
    title(f"metering: 24 h of {HOSTS * 8} GPUs every {INTERVAL} s from Prometheus")
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = fleet(HOSTS)
        backfill(made, folder / "prometheus")
        server = embedded.start(folder / "pg")
        _prepare(_database(server, "template_day"), made)
        note("backfilled")
        plain: list[Cost[int]] = []
        ours: list[Cost[int]] = []
        lean: list[Cost[int]] = []
        with serving(folder / "prometheus") as url:
            short = measured(
                _ours, url, _database(server, "hours", "template_day"), SHORT_HOURS
            )  # warms the server, too
            for number in range(REPEATS):
                plain.append(measured(_plain, url, True))
                ours.append(measured(_ours, url, _database(server, f"day_{number}", "template_day"), 24))
                lean.append(measured(_plain, url, False))
        _report(ours, plain, lean, short.peak_mib)
        _errors(made, _metered(server, f"day_{REPEATS - 1}"))


def _report(ours: list[Cost[int]], plain: list[Cost[int]], lean: list[Cost[int]], short_mib: float) -> None:
    we, they, leanest = middle(ours), middle(plain), middle(lean)
    times = ratio([one.wall for one in ours], [one.wall for one in plain])
    figures = f"{we.wall:.2f} s against {they.wall:.2f} s"
    line("wall time, times the plain client", f"{times:.2f}", f"target <= {RATIO_TARGET}; {figures}")
    times = ratio([one.wall for one in ours], [one.wall for one in lean])
    line(
        "the same, its garbage left alone", f"{times:.2f}", f"against {leanest.wall:.2f} s, without the cycle collector"
    )
    line("CPU of our process", f"{we.cpu:.2f} s", f"plain client {they.cpu:.2f} s")
    growth = f"{short_mib:.0f} MiB after {SHORT_HOURS} h"
    line("peak memory", f"{we.peak_mib:.0f} MiB", f"{growth}; plain client {they.peak_mib:.0f} MiB")
    line("presence samples", f"{we.answer:,}", f"with the windows' margins; {they.answer:,} without")


def _errors(made: Fleet, metered: Counter[str]) -> None:
    by_rule, (held, edges) = billed_by_rule(made), truly_held(made)
    wrong = {who: metered[who] - by_rule[who] for who in {*metered, *by_rule} if metered[who] != by_rule[who]}
    leased = sum(abs(metered[who] - by_rule[who]) for who in made.leasing)
    off = sum(abs(error) for error in wrong.values())
    line("metered", f"{sum(metered.values()):,} s", f"of {len(by_rule)} tenants")
    line("error against the window rule", f"{off} s", "must be 0" + (f": {wrong}" if wrong else ""))
    line("error of leases", f"{leased} s", "must be 0")
    drift = sum(metered[who] * 1000 - held[who] for who in made.tenants)
    share = drift / sum(held[who] for who in made.tenants) * 100
    detail = f"{share:+.4f} % (target < 0.01 %), {edges} edges of {INTERVAL} s"
    line("labels against the true holders", f"{drift / 1000:+.0f} s", detail)


def _database(server: str, name: str, template: str = "template1") -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        connection.execute("CHECKPOINT")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _prepare(url: str, made: Fleet) -> None:
    """A fresh database that knows the tenants and the GPUs that are let; all others are new to the collector."""
    database, clock = Database(url), ManualClock(DAY_SPAN.start)
    migrate.upgrade(database)
    registrar, leaser = Registrar(database, clock), Leaser(database, clock)
    for slug in made.tenants:
        registrar.add(tenant(slug), [slug], actor="bench")
    for slug in made.leasing:
        registrar.add(tenant(slug, "lease"), [], actor="bench")
    leased = [host for host in made.hosts if host.lease is not None]
    with database.transaction() as session:
        whole: list[Seconds] = [(FIRST - HOUR, FIRST - HOUR + 1)]
        sightings = [
            Sighting(gpu.uuid, "NVIDIA H100 80GB HBM3", host.name, host.instance, {DeviceKey(gpu.uuid): whole})
            for host in leased
            for gpu in host.gpus
        ]
        inventory.register(session, SOURCE, sightings)
    for host in leased:
        assert host.lease is not None
        slug, span = host.lease
        leaser.add(slug, Span.from_seconds(span), hosts=[host.name], reference=host.name, actor="bench")
    database.close()


def _ours(url: str, database_url: str, hours: int) -> Callable[[], int]:
    """Our collector on a fresh database. Its work returns the number of samples."""
    cadence = Cadence(INTERVAL * 1000, MAX_GAP * 1000)
    source = PrometheusSource(PrometheusSettings(name=SOURCE, access=Access(url), cadence=cadence))
    feed = Feed(source, "prometheus", ExclusionRule(operator_evidence=True, minimum_seconds=900), DAY_SPAN.start)
    clock = ManualClock(DAY_SPAN.start + timedelta(hours=hours, minutes=20))
    collector = Collector(Database(database_url), clock, [feed], no_fence)

    def work() -> int:
        outcome = collector.tick(hours)
        assert (outcome.windows, outcome.failures) == (hours, 0)
        return outcome.samples

    return work


def _plain(url: str, collecting: bool) -> Callable[[], int]:
    """What anybody would write: fetch each hour's samples and add them up by series. Its work returns how many there
    were. `collecting` leaves Python's cycle collector on."""
    client = httpx.Client(base_url=url, timeout=120, headers={"Accept-Encoding": "identity"})

    def work() -> int:
        if not collecting:
            gc.disable()
        samples, sums = 0, Counter[tuple[tuple[str, str], ...]]()
        for _, end in windows((FIRST, LAST), HOUR):
            query = {"query": f"DCGM_FI_DEV_GPU_TEMP[{HOUR}s]", "time": str(end)}
            answer = orjson.loads(client.post("/api/v1/query", data=query).content)
            for series in answer["data"]["result"]:
                values = series["values"]
                samples += len(values)
                sums[tuple(series["metric"].items())] += sum(int(value) for _, value in values)
        assert sums
        return samples

    return work


def _metered(server: str, name: str) -> Counter[str]:
    """Billed seconds by tenant, from the database."""
    database = Database(make_url(server).set(database=name).render_as_string(hide_password=False))
    with database.transaction() as session:
        rows = session.execute(
            text(
                "SELECT t.slug, sum(extract(epoch FROM upper(during) - lower(during)))::bigint AS seconds FROM usage u"
                " JOIN tenant t ON t.id = u.tenant_id WHERE u.superseded_at IS NULL GROUP BY t.slug"
            )
        )
        found = Counter({row.slug: row.seconds for row in rows})
    database.close()
    return found

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
from sqlalchemy import text

from benchmarks import postgres
from benchmarks.fleet import (
    DAY_SPAN,
    FIRST,
    INTERVAL,
    LAST,
    MAX_GAP,
    PER_HOST,
    Fleet,
    backfill,
    billed_by_rule,
    fleet,
    serving,
    truly_held,
)
from benchmarks.measure import Cost, Result, measured, memory, middle, note, require
from billing.core.clock import ManualClock
from billing.core.period import HOUR, Seconds, Span, windows
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.fleet import store as inventory
from billing.fleet.gpu import DeviceKey, Sighting
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Cadence
from billing.metering.sources.access import Access
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from billing.metering.usage import ExclusionRule
from billing.tenants.registrar import Registrar
from tests.factories import no_fence, tenant

HOSTS, HOSTS_SMALL = 300, 10
REPEATS: Final = 5
TARGET: Final = 2.0
PART_HOURS: Final = 8
BIAS_MAX: Final = 0.01
"""Per cent. A small fleet has so few edges that chance shows; there an interval for each edge is the bound."""
SOURCE: Final = "brisbane"


def run(small: bool = False) -> Result:
    hosts, repeats = (HOSTS_SMALL, 1) if small else (HOSTS, REPEATS)
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = fleet(hosts)
        backfill(made, folder / "prometheus")
        server = embedded.start(folder / "pg")
        prepare(postgres.database(server, "template_day"), made)
        note(f"metering: backfilled a day of {hosts * PER_HOST} GPUs")
        plain: list[Cost[int]] = []
        mine: list[Cost[int]] = []
        lean: list[Cost[int]] = []
        with serving(folder / "prometheus") as url:
            # the first run warms Prometheus, too
            part = measured(ours, url, postgres.database(server, "part", "template_day"), PART_HOURS)
            for number in range(repeats):
                plain.append(measured(plain_client, url, (FIRST, LAST), True))
                mine.append(measured(ours, url, postgres.database(server, f"day_{number}", "template_day"), 24))
                lean.append(measured(plain_client, url, (FIRST, LAST), False))
        result = Result(f"metering: 24 h of {hosts * PER_HOST:,} GPUs", TARGET, middle(mine), middle(plain))
        result.compare(mine, plain)
        result.lean(mine, lean)
        result.say(f"peak memory after {PART_HOURS} h {memory(part)}, after 24 h {memory(result.ours)}")
        result.say(f"{mine[-1].answer:,} samples with the margins of the windows; {plain[-1].answer:,} without")
        check(result, made, metered_by_tenant(postgres.named(server, f"day_{repeats - 1}")))
    return result


def check(result: Result, made: Fleet, metered: Counter[str]) -> None:
    """Every second is billed as the window rule says, and nearly every one as it truly was."""
    by_rule, (held, edges) = billed_by_rule(made), truly_held(made)
    wrong = {who: metered[who] - by_rule[who] for who in {*metered, *by_rule} if metered[who] != by_rule[who]}
    require(not wrong, f"seconds more or less than the window rule bills: {wrong}")
    result.say(f"metered {sum(metered.values()):,} s of {len(by_rule)} tenants, each as the window rule says")
    drift = sum(metered[who] * 1000 - held[who] for who in made.tenants)
    share = drift / sum(held[who] for who in made.tenants) * 100
    require(abs(share) < BIAS_MAX or edges * INTERVAL * 1000 > abs(drift), f"labels are off by {share:+.4f} %")
    result.say(
        f"labels against the true holders: {drift / 1000:+.0f} s ({share:+.4f} %), {edges} edges of {INTERVAL} s"
    )


def prepare(url: str, made: Fleet) -> None:
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


def ours(url: str, database_url: str, hours: int) -> Callable[[], int]:
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


def plain_client(url: str, span: Seconds, collecting: bool) -> Callable[[], int]:
    """What anybody would write: fetch each hour's samples and add them up by series. Its work returns how many there
    were. `collecting` leaves Python's cycle collector on."""
    client = httpx.Client(base_url=url, timeout=120, headers={"Accept-Encoding": "identity"})

    def work() -> int:
        if not collecting:
            gc.disable()
        samples, sums = 0, Counter[tuple[tuple[str, str], ...]]()
        for _, end in windows(span, HOUR):
            query = {"query": f"DCGM_FI_DEV_GPU_TEMP[{HOUR}s]", "time": str(end)}
            answer = orjson.loads(client.post("/api/v1/query", data=query).content)
            for series in answer["data"]["result"]:
                values = series["values"]
                samples += len(values)
                sums[tuple(series["metric"].items())] += sum(int(value) for _, value in values)
        assert sums
        return samples

    return work


def metered_by_tenant(url: str) -> Counter[str]:
    """Billed seconds by tenant, from the database."""
    database = Database(url)
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

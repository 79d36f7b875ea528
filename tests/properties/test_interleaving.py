"""Whatever the order in which windows are read, how often, and what was late the first time: usage is the same in the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from random import Random

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from billing.core.clock import ManualClock
from billing.core.period import Seconds, Span, at_second
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.leasing.leaser import Leaser
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Reading
from billing.metering.reporter import MeterReporter
from billing.tenants.registrar import Registrar
from tests.factories import OPERATOR, ScriptedSource, add_tenants, at, no_fence, second, tenant

HOURS = 6
GPUS = [DeviceKey("GPU-1"), DeviceKey("GPU-2")]
PARTS = [DeviceKey("GPU-3", "7", "3g.40gb"), DeviceKey("GPU-3", "8", "1g.10gb"), DeviceKey("GPU-3", "7", "1g.10gb")]
LABELS = ["", "acme", "beta", "who"]
Script = list[tuple[int, int, str]]


@dataclass
class Site(ScriptedSource):
    """A scripted source of which some windows are incomplete at first: samples after `late` come with the second reading."""

    late: dict[Seconds, int] = field(default_factory=dict)

    def read(self, window: Seconds) -> Reading:
        up, cut = self.up, self.late.pop(window, None)
        if cut is not None:
            self.up = [(start, min(end, cut)) for start, end in up if start < cut]
        try:
            return super().read(window)
        finally:
            self.up = up


@st.composite
def scripts(draw: st.DrawFn, since: int, until: int) -> Script:
    """Who a device shows, with times at which it is gone."""
    edges = sorted({since, until, *(draw(st.lists(st.integers(since, until), max_size=3)))})
    found = []
    for start, end in pairwise(edges):
        label = draw(st.sampled_from([*LABELS, None]))
        if label is not None:
            found.append((start, end, label))
    return found


@dataclass
class World:
    """Two sites; the second GPU moves from one to the other."""

    west: dict[DeviceKey, Script]
    east: dict[DeviceKey, Script]
    up: list[Seconds]

    def sites(self, late: Sequence[tuple[str, Seconds, int]] = ()) -> list[Site]:
        made = [
            Site(self.west, up=self.up, name="west"),
            Site(self.east, up=[(0, 10**10)], name="east"),
        ]
        for name, window, cut in late:
            made[name == "east"].late[window] = cut
        return made


@st.composite
def worlds(draw: st.DrawFn) -> World:
    first, last = second(0) - 600, second(HOURS) + 600
    moves = draw(st.integers(second(1), second(5)))
    west = {GPUS[0]: draw(scripts(first, last)), GPUS[1]: draw(scripts(first, moves))}
    cut = draw(st.integers(second(1), second(5)))
    west |= {
        PARTS[0]: draw(scripts(first, cut)),
        PARTS[1]: draw(scripts(first, last)),
        PARTS[2]: draw(scripts(cut, last)),
    }
    down = draw(st.integers(second(0), second(HOURS)))
    up = [(first, down), (down + draw(st.integers(0, 5000)), last)]
    return World(west, {GPUS[1]: draw(scripts(moves, last))}, up)


WINDOWS = [(name, (second(h), second(h + 1))) for name in ("west", "east") for h in range(HOURS)]


def metered(url: str, sites: list[Site], steps: Sequence[tuple[str, Seconds]]) -> list[tuple[object, ...]]:
    """Read windows in an order, then everything once more; returns what is billed, excluded and disputed."""
    database, clock = Database(url), ManualClock(at(HOURS + 0.2))
    try:
        add_tenants(database, clock, "acme", "beta")
        Registrar(database, clock).add(tenant("lessee", "lease"), [], actor="test")
        collector = Collector(database, clock, [Feed(one, "script", OPERATOR, at(0)) for one in sites], no_fence)
        leased = False
        for name, (start, end) in [*steps, *WINDOWS]:
            collector.collect(Span(at_second(start), at_second(end)), [name])
            leased = leased or _lease(database, clock)
            clock.advance(timedelta(seconds=1))
        _lease(database, clock)
        while collector.tick().windows:
            clock.advance(timedelta(seconds=1))
        with database.transaction() as session:
            summary = MeterReporter.conservation(session, Span(at(0), at(HOURS)))
            assert summary.difference == 0 and summary.gpu_seconds["unread"] == 0  # type: ignore[index]
            rows = session.execute(text(_TRUTH))
            return [tuple(row) for row in rows] + [tuple(sorted(summary.gpu_seconds.items()))]
    finally:
        database.close()


_TRUTH = """
    SELECT 'usage', t.slug, g.uuid, d.gpu_i_id, d.profile, u.during::text, u.basis, upper(d.seat) - lower(d.seat)
      FROM usage u JOIN tenant t ON t.id = u.tenant_id JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id
     WHERE u.superseded_at IS NULL
    UNION ALL SELECT 'exclusion', x.state, g.uuid, '', x.evidence, x.during::text, x.reason, 0
      FROM exclusion x JOIN gpu g ON g.id = x.gpu_id WHERE x.superseded_at IS NULL
    UNION ALL SELECT 'dispute', '', g.uuid, d.gpu_i_id, d.profile, x.during::text, x.labels::text, 0
      FROM dispute x JOIN device d ON d.id = x.device_id JOIN gpu g ON g.id = d.gpu_id WHERE x.superseded_at IS NULL
    ORDER BY 1, 2, 3, 4, 5, 6, 7"""


def _lease(database: Database, clock: ManualClock) -> bool:
    """Let the first GPU when it is there."""
    with database.transaction() as session:
        known = session.execute(text("SELECT 1 FROM gpu WHERE uuid = 'GPU-1'")).first()
        let = session.execute(text("SELECT 1 FROM lease")).first()
    if known and not let:
        Leaser(database, clock).add("lessee", Span(at(1.5), at(4.5)), uuids=["GPU-1"], reference="L", actor="test")
    return bool(known)


_numbers = iter(range(10**6))


def fresh(postgres: str) -> str:
    name = f"i{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    return make_url(postgres).set(database=name).render_as_string(hide_password=False)


def dropped(postgres: str, url: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@given(worlds(), st.randoms(use_true_random=False), st.integers(0, 6))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_interleaving_of_windows_comes_to_the_same(
    postgres: str, world: World, random: Random, repeats: int
) -> None:
    steps = [*WINDOWS, *random.choices(WINDOWS, k=repeats)]
    random.shuffle(steps)
    late = [(name, window, random.randrange(*window)) for name, window in random.sample(WINDOWS, k=3)]
    urls = fresh(postgres), fresh(postgres)
    try:
        in_order = metered(urls[0], world.sites(), [])
        mixed = metered(urls[1], world.sites(late), steps)
    finally:
        for url in urls:
            dropped(postgres, url)
    assert mixed == in_order


def test_a_gpu_that_is_first_seen_near_the_end_of_its_lease(postgres: str) -> None:
    """Whether its windows were read before or after it was let: it was not there, and the operator's evidence says so."""
    world = World({GPUS[0]: [(second(4.44), second(9), "")], GPUS[1]: [(0, 10**10, "")]}, {}, [(0, 10**10)])
    urls = fresh(postgres), fresh(postgres)
    try:
        assert metered(urls[0], world.sites(), []) == metered(urls[1], world.sites(), WINDOWS[::-1])
    finally:
        for url in urls:
            dropped(postgres, url)


def test_an_instance_that_gets_another_seat_when_more_is_known_is_there_once(postgres: str) -> None:
    """Two instances that were first seen apart are given the same slots; seen together, one of them moves."""
    first, last = second(0) - 600, second(HOURS) + 600
    world = World(
        {
            PARTS[0]: [(first, second(4), "")],
            PARTS[1]: [(first, second(0.2), ""), (second(3.5), second(4.8), ""), (second(4.8), last, "acme")],
            PARTS[2]: [(second(4), last, "")],
        },
        {},
        [(0, 10**10)],
    )
    orders = [[], WINDOWS[5::-1], [WINDOWS[5], WINDOWS[0], WINDOWS[4], WINDOWS[3]], [WINDOWS[3], WINDOWS[4]] * 2]
    results = []
    for steps in orders:
        late = [("west", window, window[0] + 900) for _, window in steps[:2]]
        url = fresh(postgres)
        try:
            results.append(metered(url, world.sites(late), steps))
        finally:
            dropped(postgres, url)
    assert all(result == results[0] for result in results)


def test_the_worlds_are_not_empty(database_url: str) -> None:
    world = World(
        {GPUS[0]: [(second(0), second(6), "acme")]}, {GPUS[1]: [(second(1), second(4), "beta")]}, [(0, 10**10)]
    )
    found = metered(database_url, world.sites(), [])
    assert {row[1] for row in found if row[0] == "usage"} == {"acme", "beta", "lessee"}

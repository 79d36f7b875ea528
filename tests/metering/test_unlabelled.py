"""A kubelet that does not answer: the exporter shows its GPUs and no holders."""

import re
from pathlib import Path

import pytest

from billing.core.clock import ManualClock
from billing.core.period import Span
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.metering import coverage
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource
from billing.metering.store.scrapes import ScrapeLog
from billing.metering.unlabelled import distrust
from billing.tenants.registrar import Registrar
from billing.tenants.tenant import GapPolicy, GapRule
from tests.factories import H100, ScriptedSource, add_tenants, at, collector, second, tenant
from tests.metering.test_collector import conserved, rows
from tests.parts import http_server


class Judged(ScriptedSource):
    """What exporters are asked through: a source that judges what it read."""

    def read(self, window: tuple[int, int]) -> Reading:
        found = super().read(window)
        distrust(found, self.cadence)
        return found


CADENCE = Cadence(60_000, 150_000)
WINDOW = (second(1), second(2))
T = WINDOW[0] * 1000
MINUTE = 60_000
GOLDEN = Path(__file__).parents[1] / "golden" / "dcgm"


def said(*devices: list[tuple[int, int, str]], instance: str = "n1:9400") -> Reading:
    """Devices of one exporter: (first minute, last minute, label) of runs."""
    reading = Reading(WINDOW)
    for number, runs in enumerate(devices):
        made = [Run(T + a * MINUTE, T + b * MINUTE, (label,) if label else ()) for a, b, label in runs]
        reading.devices[DeviceKey(f"GPU-{number}")] = DeviceRuns(H100, "n1", instance, made)
    reading.answering[instance] = [Run(T - 2 * MINUTE, T + 62 * MINUTE, ())]
    distrust(reading, CADENCE)
    return reading


def states(reading: Reading, number: int) -> list[tuple[int, int, tuple[str, ...]]]:
    found = coverage.presence(reading, CADENCE)[DeviceKey(f"GPU-{number}")]
    return [((a - WINDOW[0]) // 60, (b - WINDOW[0]) // 60, one.labels) for a, b, one in found]


def test_holders_that_vanish_together_leave_the_exporter_blind_until_one_is_back() -> None:
    reading = said(
        [(-2, 20, "acme"), (21, 29, ""), (30, 62, "acme")],
        [(-2, 20, "beta"), (21, 62, "")],
        [(-2, 62, "")],
    )
    assert states(reading, 0) == [(0, 20, ("acme",)), (29, 60, ("acme",))]
    assert states(reading, 1) == [(0, 20, ("beta",)), (29, 60, ())]
    assert states(reading, 2) == [(0, 20, ()), (29, 60, ())], "nobody knows whether it stayed idle"
    seen = coverage.answering(reading, CADENCE)["n1:9400"]
    assert [((a - WINDOW[0]) // 60, (b - WINDOW[0]) // 60) for a, b in seen] == [(-3, 20), (29, 62)]
    (problem,) = reading.problems
    assert "all 2 held devices of n1:9400 vanished at once at 2026-10-01T01:21:00Z" in problem


def test_a_scrape_or_two_without_labels_are_bridged_like_a_scrape_that_failed() -> None:
    runs = [(-2, 20, "acme"), (21, 21, ""), (22, 62, "acme")], [(-2, 20, "beta"), (21, 21, ""), (22, 62, "beta")]
    reading = said(*runs)
    assert states(reading, 0) == [(0, 60, ("acme",))] and states(reading, 1) == [(0, 60, ("beta",))]


@pytest.mark.parametrize(
    "devices",
    [
        pytest.param([[(-2, 20, "acme"), (21, 62, "")], [(-2, 21, "beta"), (22, 62, "")]], id="one after the other"),
        pytest.param([[(-2, 20, "acme"), (21, 62, "")], [(-2, 62, "beta")]], id="another one stays"),
        pytest.param([[(-2, 20, "acme"), (21, 62, "")], [(-2, 20, "acme"), (21, 62, "")]], id="one job ends"),
        pytest.param([[(-2, 20, "acme"), (21, 62, "")], [(-2, 62, "")]], id="one device"),
        pytest.param([[(-2, 20, "a"), (21, 62, "b")], [(-2, 20, "b"), (21, 62, "a")]], id="labels change"),
        pytest.param([[(-2, 20, "a"), (40, 62, "")], [(-2, 20, "b"), (40, 62, "")]], id="not seen meanwhile"),
    ],
)
def test_what_may_well_be_idle_stays_idle(devices: list[list[tuple[int, int, str]]]) -> None:
    reading = said(*devices)
    assert not reading.problems
    assert [[(run.first_ms - T) // MINUTE for run in one.runs] for one in reading.devices.values()] == [
        [first for first, _, _ in one] for one in devices
    ]


def test_one_holder_that_comes_back_as_it_was_is_reported() -> None:
    runs = [(-2, 20, "acme"), (21, 39, ""), (40, 62, "acme")]
    reading = said(runs, runs)
    assert states(reading, 0) == [(0, 20, ("acme",)), (20, 39, ()), (39, 60, ("acme",))]
    (problem,) = reading.problems
    assert problem.endswith("came back as they were: a pause, or an exporter that did not know them")


def test_a_kubelet_that_fails_is_blindness_in_the_books(database: Database) -> None:
    """Scraped pages, to the conservation of the day: the lost hour is blind and billed to nobody, and nothing is idle."""
    held = re.sub(rb',container="[^"]*",namespace="[^"]*",pod="[^"]*"', b"", (GOLDEN / "kubernetes.prom").read_bytes())
    lines = [line for line in held.splitlines() if line.startswith(b"DCGM_FI_DEV_GPU_TEMP{")][:2]
    bare = b"\n".join(lines) + b"\n"
    full = b"\n".join(
        line.replace(b"} ", b',namespace="%s",pod="p",container="main"} ' % who)
        for line, who in zip(lines, (b"acme", b"beta"), strict=True)
    )
    content = full + b"\n"
    clock = ManualClock(at(3.2))
    add_tenants(database, clock, "acme", "beta")
    with http_server(lambda path, _: (200, content)) as url:
        source = DcgmSource(DcgmSettings(name="d", targets=(url,), cadence=CADENCE), ScrapeLog(database))
        for second_ in range(second(0), second(3) + 300, 60):
            content = bare if second(1.5) <= second_ < second(2) else full + b"\n"
            source.scrape(second_ * 1000)
        source.flush()
        collector(database, clock, source).tick()
        source.close()
    assert conserved(database, 3) == {"billed": 2 * 9000, "excluded": 2 * 1800}
    assert [
        "vanished at once" in reason for (reason,) in rows(database, "SELECT reason FROM reading ORDER BY during")
    ] == [
        False,
        True,
        False,
    ]


def test_two_jobs_that_end_in_one_scrape_do_not_bill_the_idle_time_after_them(database: Database) -> None:
    """It may be blindness, and is not billed as idle time would not be; but it is never bridged."""
    clock = ManualClock(at(3.1))
    Registrar(database, clock).add(tenant("acme"), ["acme"], gap=GapRule(GapPolicy.BRIDGE, 3600), actor="test")
    add_tenants(database, clock, "beta")
    end, again = second(1.1), second(1.9)

    script = {
        DeviceKey("GPU-1"): [(0, end, "acme"), (end, again, ""), (again, 10**10, "acme")],
        DeviceKey("GPU-2"): [(0, end, "beta"), (end, 10**10, "")],
    }
    collector(database, clock, Judged(script, up=[(0, 10**10)])).tick()
    ((seconds,),) = rows(
        database,
        "SELECT sum(extract(epoch FROM upper(during) - lower(during)))::int FROM usage u"
        " JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL AND t.slug = 'acme'",
    )
    assert abs(seconds - 2.2 * 3600) <= 120
    assert conserved(database, 3)["blind"] > 2400


HOURS = [(second(hour), second(hour + 1)) for hour in range(6)]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 4, 1, 5, 0, 2], [1, 2, 3, 0, 4, 5]])
def test_an_outage_of_labels_is_blind_to_its_end_however_windows_are_read(database: Database, order: list[int]) -> None:
    """Labels of two tenants vanish in the second hour and are back in the fifth: in between nobody was idle."""
    clock = ManualClock(at(6.1))
    add_tenants(database, clock, "acme", "beta")
    lost, back = second(1.5), second(4.5)
    script = {
        DeviceKey(f"GPU-{name}"): [(0, lost, name), (lost, back, ""), (back, 10**10, name)] for name in ("acme", "beta")
    }
    collecting = collector(database, clock, Judged(script, up=[(0, 10**10)]))
    for hour in order:
        collecting.collect(Span.from_seconds(HOURS[hour]))
    while collecting.tick().windows:  # windows that learnt that they began without labels are due again
        pass
    found = conserved(database, 6)
    assert found.keys() == {"billed", "excluded"}, "the same tenant was seen before and after: no idle time in between"
    assert abs(found["excluded"] - 2 * 3 * 3600) <= 2 * 120


def test_a_host_that_stays_empty_is_idle_after_a_day(database: Database) -> None:
    clock = ManualClock(at(40.1))
    add_tenants(database, clock, "acme", "beta")
    lost = second(1.5)
    script = {DeviceKey(f"GPU-{name}"): [(0, lost, name), (lost, 10**10, "")] for name in ("acme", "beta")}
    collecting = collector(database, clock, Judged(script, up=[(0, 10**10)]))
    while collecting.tick().windows:
        pass
    found = conserved(database, 40)
    assert abs(found["blind"] - 2 * 24 * 3600) <= 2 * 120
    assert abs(found["idle"] - 2 * 3600 * 14.5) <= 2 * 120

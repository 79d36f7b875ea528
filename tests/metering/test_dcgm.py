"""The direct scraper: real HTTP pages, labels of all eras, pages that are cut, exporters that come and go."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.metering.exporters import LabelRules, exporter_named
from billing.metering.reading import Run
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource
from billing.metering.sources.pages import parse_labels
from billing.metering.store.scrapes import ScrapeLog
from tests.factories import second
from tests.parts import http_server

GOLDEN = Path(__file__).parents[1] / "golden" / "dcgm"
T0 = second(1) * 1000
WINDOW = (second(1), second(2))


def page(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


class Exporter:
    """What the exporter answers at the moment."""

    def __init__(self) -> None:
        self.status, self.body = 200, page("kubernetes.prom")

    def __call__(self, path: str, body: bytes) -> tuple[int, bytes]:
        return self.status, self.body


@pytest.fixture
def exporter() -> Iterator[tuple[Exporter, str]]:
    one = Exporter()
    with http_server(one) as url:
        yield one, f"{url}/metrics"


_made: list[DcgmSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def source(database: Database, *targets: str) -> DcgmSource:
    _made.append(DcgmSource(DcgmSettings(name="d", targets=targets, timeout_seconds=2), ScrapeLog(database)))
    return _made[-1]


def test_scrapes_become_runs_and_survive_a_restart(database: Database, exporter: tuple[Exporter, str]) -> None:
    _, url = exporter
    one = source(database, url)
    for step in range(10):
        assert one.scrape(T0 + step * 15_000).answered == 1
    assert one.flush() == 9, "eight GPUs and the exporter itself"
    again = source(database, url)
    for step in range(10, 20):
        again.scrape(T0 + step * 15_000)
    again.flush()
    assert again.flush() == 0
    reading = source(database, url).read(WINDOW)
    held = reading.devices[DeviceKey("GPU-10000000-0000-4000-8000-000000000000")]
    assert held.runs == [Run(T0, T0 + 19 * 15_000, ("team-llm",))] and held.host == "gpu-node-1"
    assert reading.devices[DeviceKey("GPU-10000000-0000-4000-8000-000000000001")].runs[0].labels == ()
    assert len(reading.devices) == 8 and reading.samples == 160
    assert list(reading.answering.values()) == [[Run(T0, T0 + 19 * 15_000, ())]]


def test_a_crash_loses_the_minute_that_was_not_flushed_and_no_more(
    database: Database, exporter: tuple[Exporter, str]
) -> None:
    _, url = exporter
    one = source(database, url)
    for step in range(8):
        one.scrape(T0 + step * 15_000)
        if step == 3:
            one.flush()
    again = source(database, url)
    again.scrape(T0 + 8 * 15_000)
    again.flush()
    runs = again.read(WINDOW).devices[DeviceKey("GPU-10000000-0000-4000-8000-000000000000")].runs
    assert runs == [Run(T0, T0 + 45_000, ("team-llm",)), Run(T0 + 120_000, T0 + 120_000, ("team-llm",))]


def test_a_run_longer_than_an_hour_is_stored_in_pieces_that_join(
    database: Database, exporter: tuple[Exporter, str]
) -> None:
    _, url = exporter
    one = source(database, url)
    for step in range(0, 9000, 30):
        one.scrape(T0 + step * 1000)
    one.flush()
    from billing.metering import coverage

    reading = one.read((second(2), second(3)))
    segments = coverage.presence(reading, one.cadence)[DeviceKey("GPU-10000000-0000-4000-8000-000000000000")]
    assert [(s, e) for s, e, _ in segments] == [(second(2), second(3))]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty page"),
        (page("kubernetes.prom")[:-40], "page cut off"),
        (b"# HELP only comments\n", "page without a metric"),
        (b"\xff\xfe\x00" * 100, "page cut off"),
    ],
)
def test_a_page_that_proves_nothing_is_a_gap(
    database: Database, exporter: tuple[Exporter, str], body: bytes, why: str
) -> None:
    one, url = exporter
    one.body = body
    scraping = source(database, url)
    assert scraping.scrape(T0).failed == {url: why}
    scraping.flush()
    assert not scraping.read(WINDOW).devices


def test_one_dead_exporter_does_not_hide_the_others(database: Database) -> None:
    with ExitStack() as stack:
        good = stack.enter_context(http_server(lambda path, _: (200, page("kubernetes.prom"))))
        broken = stack.enter_context(http_server(lambda path, _: (500, b"one GPU is unreadable\n")))
        cut = stack.enter_context(http_server(lambda path, _: (200, b"DCGM"), claimed_length=5000))
        scraping = source(
            database, f"{good}/metrics", f"{broken}/metrics", f"{cut}/metrics", "http://127.0.0.1:9/metrics"
        )
        result = scraping.scrape(T0)
    assert result.answered == 1 and len(result.failed) == 3
    assert result.failed[f"{broken}/metrics"] == "answered 500"


def test_a_page_that_is_huge_is_not_read_to_the_end(database: Database) -> None:
    with http_server(lambda path, _: (200, b"x" * (17 << 20))) as url:
        assert "more than" in source(database, url).scrape(T0).failed[url]


def test_mig_instances_carry_their_parent(database: Database, exporter: tuple[Exporter, str]) -> None:
    one, url = exporter
    one.body = page("mig.prom")
    scraping = source(database, url)
    scraping.scrape(T0)
    scraping.flush()
    reading = scraping.read(WINDOW)
    assert {(key.gpu_i_id, key.profile, device.runs[0].labels) for key, device in reading.devices.items()} == {
        ("7", "1g.10gb", ("playground",)),
        ("8", "1g.10gb", ()),
        ("9", "3g.40gb", ("speech",)),
    }


@pytest.mark.parametrize(
    ("text", "uuid", "host", "holder"),
    [
        ('gpu="0",UUID="GPU-1",Hostname="n1",modelName="H",namespace="a",pod="p"', "GPU-1", "n1", "a"),
        ('gpu="0",UUID="GPU-1",hostname="n1",namespace="a",pod="p"', "GPU-1", "n1", "a"),
        ('gpu="0",uuid="GPU-1",pod_name="p",pod_namespace="a",container_name="c"', "GPU-1", "n9", "a"),
        ('UUID="GPU-1",Hostname="n1",exported_namespace="a",exported_pod="p",namespace="gpu-operator",pod="nvidia-dcgm-exporter-1"', "GPU-1", "n1", "a"),
        ('UUID="GPU-1",Hostname="n1",namespace="gpu-operator",pod="nvidia-dcgm-exporter-1",container="nvidia-dcgm-exporter"', "GPU-1", "n1", ""),
        ('UUID="GPU-1",Hostname="n1",namespace="monitoring",pod="dcgm-exporter-abcde"', "GPU-1", "n1", ""),
        ('UUID="GPU-1",Hostname="n1",namespace="gpu-team",pod="gpu-exporter-of-results",container="main"', "GPU-1", "n1", "gpu-team"),
        ('UUID="GPU-1",Hostname="n\\"1",namespace="a"', "GPU-1", 'n"1', "a"),
    ],
)  # fmt: skip
def test_labels_of_all_eras(text: str, uuid: str, host: str, holder: str) -> None:
    sample = LabelRules(exporter_named("dcgm")).sample(parse_labels(text), "n9:9400")
    assert sample is not None
    assert (sample.key.uuid, sample.host, sample.label) == (uuid, host, holder)


@pytest.mark.parametrize(
    "text", ["", 'UUID=""', 'UUID="GPU\\n1"', 'UUID="' + "x" * 300 + '"', 'UUID="GPU-1",namespace="\\n"']
)
def test_a_line_that_names_no_device_is_nobody(text: str) -> None:
    assert LabelRules(exporter_named("dcgm")).sample(parse_labels(text), "n9:9400") is None


def test_the_scheduler_label_may_be_another_one() -> None:
    labels = {"UUID": "GPU-1", "hpc_job": "4711", "namespace": "x"}
    sample = LabelRules(exporter_named("dcgm"), "hpc_job").sample(labels, "n1:9400")
    assert sample is not None and sample.label == "4711"

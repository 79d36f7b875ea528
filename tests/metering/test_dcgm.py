"""The direct scraper: real HTTP pages, labels of all eras, pages that are cut, exporters that come and go."""

import re
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from billing.core.errors import Invalid
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.metering.exporters import LabelRules, exporter_named
from billing.metering.reading import Reading, Run
from billing.metering.sources.access import Access
from billing.metering.sources.dcgm import DcgmSettings, DcgmSource, ScrapeRun
from billing.metering.sources.pages import parse_labels
from billing.metering.store.scrapes import ScrapeLog
from tests.factories import second
from tests.metering.peers import Reply, dripping, peer
from tests.parts import http_server

GOLDEN = Path(__file__).parents[1] / "golden" / "dcgm"
CONFIG = Path(__file__).parents[2] / "config"
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


def read_page(database: Database, content: bytes, **fields: Any) -> Reading:
    with http_server(lambda path, _: (200, content)) as url:
        _made.append(DcgmSource(DcgmSettings(name="d", targets=(f"{url}/metrics",), **fields), ScrapeLog(database)))
        _made[-1].scrape(T0)
        _made[-1].flush()
        return _made[-1].read(WINDOW)


def test_another_exporter_is_a_table(database: Database) -> None:
    """Its UUIDs have no prefix and its pages no host; a GPU that the first metric misses is proven by the second."""
    table = exporter_named("nvidia_gpu_exporter")
    reading = read_page(database, page("nvidia_gpu_exporter.prom"), exporter=table)
    assert not reading.problems
    assert {key.uuid: seen.model for key, seen in reading.devices.items()} == {
        "GPU-30000000-0000-4000-8000-000000000000": "NVIDIA H100 80GB HBM3",
        "GPU-30000000-0000-4000-8000-000000000001": "NVIDIA H100 80GB HBM3",
        "GPU-30000000-0000-4000-8000-000000000002": "NVIDIA H100 80GB HBM3",
        "GPU-30000000-0000-4000-8000-000000000003": "unknown",
    }
    assert {seen.host for seen in reading.devices.values()} == {"127.0.0.1"}


def test_an_exporter_that_nobody_knew_is_a_table_in_a_file(database: Database) -> None:
    table = exporter_named("amd", str(CONFIG / "exporters.example.toml"))
    reading = read_page(database, page("amd.prom"), exporter=table)
    assert {key.uuid: seen.runs[0].labels for key, seen in reading.devices.items()} == {
        "AMD-692300000000": ("team-llm",),
        "AMD-692300000001": (),
        "AMD-692300000002": (),
    }
    assert {seen.host for seen in reading.devices.values()} == {"amd-node-1"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("[a", "is no TOML"),
        ("a = 1", "a is no table"),
        ("[a]\npresence=['m']", "a lacks uuid"),
        ("[a]\npresence=[]\nuuid=['u']", "a lacks presence"),
        ("[a]\npresence='m'\nuuid=['u']", "a.presence is not what belongs there"),
        ("[a]\npresence=['m{']\nuuid=['u']", "a.presence is not what belongs there"),
        ("[a]\npresence=['m']\nuuid=['u']\nown_pod='('", "a.own_pod is not what belongs there"),
        ("[a]\npresence=['m']\nuuid=['u']\nholders={n=[{pod='p'}]}", "a.holders is not what belongs there"),
        ("[a]\npresence=['m']\nuuid=['u']\nfallbacks=[1]", "a.fallbacks is not what belongs there"),
        ("[a]\npresence=['m']\nuuid=['u']\ncolour='red'", "a.colour is no key of a table"),
        ("[a]\npresence=['m']\nuuid=['u']", "there is no exporter table b; known are a, dcgm"),
    ],
)
def test_a_file_of_tables_that_is_wrong_says_where(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "exporters.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Invalid, match=re.escape(words)):
        exporter_named("b", str(path))


def test_a_header_that_drips_for_ever_holds_nobody_up(database: Database) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x") as url:
        _made.append(DcgmSource(DcgmSettings(name="d", targets=(url,), timeout_seconds=1), ScrapeLog(database)))
        assert _made[-1].scrape(T0).failed == {url: "page did not answer in 1 s"}


def test_rounds_share_their_threads(database: Database, exporter: tuple[Exporter, str]) -> None:
    _, url = exporter
    scraping = source(database, *(f"{url}?{n}" for n in range(5)), "http://127.0.0.1:9/metrics")
    scraping.scrape(T0)
    scraping.scrape(T0 + 15_000)
    before = {thread.ident for thread in threading.enumerate() if "ThreadPool" in thread.name}
    for step in range(2, 6):
        scraping.scrape(T0 + step * 15_000)
    assert {thread.ident for thread in threading.enumerate() if "ThreadPool" in thread.name} == before


def test_scraping_goes_on_while_a_slow_database_writes(database: Database, exporter: tuple[Exporter, str]) -> None:
    _, url = exporter
    writing, go_on = threading.Event(), threading.Event()

    class SlowLog(ScrapeLog):
        def save(self, source: str, runs: Sequence[ScrapeRun]) -> None:
            writing.set()
            assert go_on.wait(20)
            super().save(source, runs)

    scraping = DcgmSource(DcgmSettings(name="d", targets=(url,)), SlowLog(database))
    _made.append(scraping)
    scraping.scrape(T0)
    flush = threading.Thread(target=scraping.flush)
    flush.start()
    assert writing.wait(20)
    scraping.scrape(T0 + 15_000)
    scraping.scrape(T0 + 30_000)
    go_on.set()
    flush.join()
    scraping.flush()
    reading = scraping.read(WINDOW)
    assert {run for seen in reading.devices.values() for run in seen.runs if run.labels == ("team-llm",)} == {
        Run(T0, T0 + 30_000, ("team-llm",))
    }
    assert reading.samples == 24


def test_an_exporter_behind_a_password_is_asked_with_it(database: Database) -> None:
    with peer(lambda asked: Reply(200, page("kubernetes.prom"))) as (url, asked):
        access = Access(username="meter", password="hunter2hunter2", headers={"X-Site": "a"})
        _made.append(DcgmSource(DcgmSettings(name="d", targets=(url,), access=access), ScrapeLog(database)))
        assert _made[-1].scrape(T0).answered == 1
    assert asked[0].headers["Authorization"].startswith("Basic ") and asked[0].headers["X-Site"] == "a"


@pytest.mark.parametrize("line", [10 << 20, 70 << 10])
def test_a_line_of_ten_megabytes_is_a_reason_and_no_evidence(database: Database, line: int) -> None:
    good = page("kubernetes.prom")
    reading = read_page(database, good + b'DCGM_FI_DEV_GPU_TEMP{UUID="' + b"x" * line + b'"} 30\n')
    assert len(reading.devices) == 8 and not reading.answering
    assert "1 lines name no device" in next(iter(reading.problems))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"UUID=", b"gpu_identity=", "8 lines name no device"),
        (b"DCGM_FI_DEV_GPU_TEMP", b"DCGM_GPU_HEAT", "page without a GPU"),
        (b"GPU-1", b"GPU-\xff\xfe", "name no device"),
    ],
)
def test_labels_and_names_that_change_overnight_are_a_reason(
    database: Database, old: bytes, new: bytes, words: str
) -> None:
    content = re.sub(rb"DCGM_FI_DEV_(POWER|GPU_UTIL|FB).*\n", b"", page("kubernetes.prom")).replace(old, new)
    reading = read_page(database, content)
    assert not reading.answering and words in next(iter(reading.problems))


@pytest.mark.parametrize("value", [b"NaN", b"+Inf", b"-1", b"1e400", b"", b"30 1e9", b"30 99999999999999999999"])
def test_a_value_or_a_time_of_the_exporters_is_never_used(database: Database, value: bytes) -> None:
    reading = read_page(database, b'DCGM_FI_DEV_GPU_TEMP{UUID="GPU-1",Hostname="n1"} ' + value + b"\n")
    assert reading.devices[DeviceKey("GPU-1")].runs == [Run(T0, T0, ())]


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown"])
def test_an_encoding_that_was_not_asked_for_is_a_reason(database: Database, encoding: str) -> None:
    reply = Reply(200, zlib.compress(page("kubernetes.prom")), {"Content-Encoding": encoding})
    with peer(lambda asked: reply) as (url, _):
        assert source(database, url).scrape(T0).failed == {url: f"encoding {encoding} that was not asked for"}

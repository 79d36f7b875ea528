"""The Prometheus source, against a real Prometheus and against servers that misbehave."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import orjson
import pytest

from billing.core.errors import Unavailable, Untrusted
from billing.fleet.gpu import DeviceKey
from billing.metering import coverage
from billing.metering.reading import Cadence, Run
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from tests.factories import second
from tests.parts import http_server, prometheus

WINDOW = (second(1), second(2))
CADENCE = Cadence(60_000, 150_000)


def openmetrics() -> str:
    """Three hours of two GPUs: one held by team-a and then team-b, one idle under the exporter's own pod; an outage."""
    lines = ["# TYPE DCGM_FI_DEV_GPU_TEMP gauge"]
    common = 'job="dcgm",instance="n1:9400",Hostname="n1",modelName="NVIDIA H100 80GB HBM3"'
    own = 'namespace="gpu-operator",pod="nvidia-dcgm-exporter-x7k2p",container="nvidia-dcgm-exporter"'
    up = ["# TYPE up gauge"]
    series: dict[str, list[int]] = {}
    for t in range(second(0), second(3), 60):
        outage = second(1.25) <= t < second(1.5)
        up.append(f'up{{job="dcgm",instance="n1:9400"}} {0 if outage else 1} {t}.25')
        if outage:
            continue
        team = "team-a" if t < second(1.75) else "team-b"
        series.setdefault(f'{common},UUID="GPU-a",{own},exported_namespace="{team}",exported_pod="p"', []).append(t)
        series.setdefault(f'{common},UUID="GPU-b",{own}', []).append(t)
    for labels, times in series.items():
        lines += [f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} 30 {t}.25" for t in times]
    return "\n".join([*lines, *up, "# EOF", ""])


@pytest.fixture(scope="module")
def server(scratch: Path) -> Iterator[str]:
    with prometheus(scratch / "metering", openmetrics()) as url:
        yield url


_made: list[PrometheusSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def source(url: str) -> PrometheusSource:
    _made.append(PrometheusSource(PrometheusSettings(name="p", url=url, cadence=CADENCE, timeout_seconds=5)))
    return _made[-1]


def test_a_real_prometheus_is_read_to_the_sample(server: str) -> None:
    reading = source(server).read(WINDOW)
    assert set(reading.devices) == {DeviceKey("GPU-a"), DeviceKey("GPU-b")}
    start = WINDOW[0] * 1000
    runs = reading.devices[DeviceKey("GPU-a")].runs
    assert runs == [
        Run(start - 119_750, start + 14 * 60_000 + 250, ("team-a",)),
        Run(start + 30 * 60_000 + 250, start + 44 * 60_000 + 250, ("team-a",)),
        Run(start + 45 * 60_000 + 250, start + 62 * 60_000 + 250, ("team-b",)),
    ]
    assert all(run.labels == () for run in reading.devices[DeviceKey("GPU-b")].runs), (
        "the exporter's own pod is no tenant"
    )
    assert reading.samples == 2 * (17 + 33)
    assert [run.labels for run in reading.answering["n1:9400"]] == [(), ()]
    segments = coverage.presence(reading, CADENCE)[DeviceKey("GPU-a")]
    assert [(s - WINDOW[0], e - WINDOW[0], seen.labels) for s, e, seen in segments] == [
        (0, 840, ("team-a",)),
        (1740, 2640, ("team-a",)),
        (2640, 3600, ("team-b",)),
    ]


def test_windows_of_a_real_prometheus_tile(server: str) -> None:
    one = source(server)
    whole = coverage.presence(one.read((second(0), second(3))), CADENCE)
    parts = [coverage.presence(one.read((second(h), second(h + 1))), CADENCE) for h in range(3)]
    for key in whole:
        tiled = coverage.join([segment for part in parts for segment in part[key]])
        assert tiled == whole[key]


def test_a_span_that_the_server_finds_too_large_is_read_in_halves(server: str) -> None:
    import httpx

    spans = []

    def limited(path: str, body: bytes) -> tuple[int, bytes]:
        query = parse_qs(body.decode())
        seconds = int(query["query"][0].rpartition("[")[2].rstrip("s]"))
        spans.append(seconds)
        if seconds > 1500:
            return 422, b'{"status":"error","error":"query processing would load too many samples into memory"}'
        answer = httpx.post(server + path, data={key: values[0] for key, values in query.items()})
        return answer.status_code, answer.content

    with http_server(limited) as url:
        halved, whole = source(url).read(WINDOW), source(server).read(WINDOW)
    assert halved.devices == whole.devices and halved.answering == whole.answering
    assert max(spans) > 1500 > min(spans)


def matrix(metric: dict[str, str]) -> bytes:
    values = [[WINDOW[0] + 60, "1"]]
    return orjson.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": metric, "values": values}]}}
    )


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (200, b"", Untrusted, "no JSON"),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"met', Untrusted, "no JSON"),
        (200, b"\x00\xff\xfe binary", Untrusted, "no JSON"),
        (200, b"<html>login</html>", Untrusted, "no JSON"),
        (200, b'{"status":"error"}', Untrusted, "without success"),
        (200, b"[]", Untrusted, "without success"),
        (
            200,
            b'{"status":"success","data":{"resultType":"vector","result":[]}}',
            Untrusted,
            "vector instead of a matrix",
        ),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["x",1]]}]}}',
            Untrusted,
            "no result",
        ),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["partial"]}',
            Untrusted,
            "warning",
        ),
        (503, b"down", Unavailable, "answered 503"),
        (401, b"who are you", Unavailable, "answered 401"),
    ],
)
def test_an_answer_that_cannot_be_right_fails_the_read(
    status: int, body: bytes, error: type[Exception], words: str
) -> None:
    with http_server(lambda path, _: (status, body)) as url, pytest.raises(error, match=words):
        source(url).read(WINDOW)


def test_a_body_that_is_cut_off_fails_the_read() -> None:
    with http_server(lambda path, _: (200, b'{"status":'), claimed_length=4000) as url, pytest.raises(Unavailable):
        source(url).read(WINDOW)


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        source("http://127.0.0.1:9").read(WINDOW)


def test_a_series_without_a_device_is_kept_as_a_problem() -> None:
    with http_server(lambda path, _: (200, matrix({"instance": "n1:9400"}))) as url:
        reading = source(url).read(WINDOW)
    assert not reading.devices and reading.problems == {"a series names no device"}

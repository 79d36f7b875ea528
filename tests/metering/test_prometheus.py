"""The Prometheus source, against a real Prometheus and against servers that misbehave."""

import re
import ssl
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from billing.core.clock import ManualClock
from billing.core.errors import Invalid, Unavailable, Untrusted
from billing.db.engine import Database
from billing.fleet.gpu import DeviceKey
from billing.metering import coverage
from billing.metering.reading import Cadence, Run
from billing.metering.sources import promapi
from billing.metering.sources.access import Access
from billing.metering.sources.promapi import PrometheusApi
from billing.metering.sources.prometheus import PrometheusSettings, PrometheusSource
from tests.factories import add_tenants, at, collector, second
from tests.metering.peers import Asked, Reply, certificate, dripping, matrix, peer, small, success
from tests.metering.test_collector import rows, usage
from tests.parts import NO_TLS, prometheus, victoriametrics

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


@pytest.fixture(scope="module", params=["prometheus", "victoriametrics"])
def backend(request: pytest.FixtureRequest, scratch: Path, server: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(URL, access) of real servers that hold the same samples."""
    if request.param == "prometheus":
        yield server, {}
        return
    with victoriametrics(scratch / "victoriametrics", openmetrics()) as url:
        yield url, {"backend": "victoriametrics"}


_made: list[PrometheusSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def source(url: str, *, access: dict[str, Any] | None = None, **fields: Any) -> PrometheusSource:
    given = Access(url, timeout_seconds=5, **(access or {}))
    _made.append(PrometheusSource(PrometheusSettings(name="p", access=given, cadence=CADENCE, **fields)))
    return _made[-1]


def test_a_real_server_is_read_to_the_sample(backend: tuple[str, dict[str, Any]]) -> None:
    url, access = backend
    reading = source(url, access=access).read(WINDOW)
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


def test_windows_of_a_real_server_tile(backend: tuple[str, dict[str, Any]]) -> None:
    url, access = backend
    one = source(url, access=access)
    whole = coverage.presence(one.read((second(0), second(3))), CADENCE)
    parts = [coverage.presence(one.read((second(h), second(h + 1))), CADENCE) for h in range(3)]
    for key in whole:
        tiled = coverage.join([segment for part in parts for segment in part[key]])
        assert tiled == whole[key]


def relay(server: str, asked: Asked) -> Reply:
    answer = httpx.request(
        "GET" if "/label/" in asked.path else "POST", server + asked.path, params=dict(asked.form), verify=NO_TLS
    )
    return Reply(answer.status_code, answer.content)


TOO_MUCH = b'{"status":"error","error":"query processing would load too many samples into memory"}'


@pytest.mark.parametrize("status", [422, 413, 503])
def test_a_span_that_the_server_finds_too_large_is_read_in_halves(server: str, status: int) -> None:
    spans = []

    def limited(asked: Asked) -> Reply:
        if asked.query:
            spans.append(int(asked.query.rpartition("[")[2].rstrip("s]")))
            if spans[-1] > 1500:
                return Reply(status, TOO_MUCH)
        return relay(server, asked)

    with peer(limited) as (url, _):
        halved, whole = source(url).read(WINDOW), source(server).read(WINDOW)
    assert halved.devices == whole.devices and halved.answering == whole.answering
    assert max(spans) > 1500 > min(spans)


def test_halving_has_a_floor_and_says_whose_limit_it_is() -> None:
    with peer(small(lambda asked: Reply(422, TOO_MUCH))) as (url, asked):
        with pytest.raises(Unavailable, match=r"even for \d+ s; lower shard_instances or raise the server's limits"):
            source(url).read(WINDOW)
        assert len(asked) < 20


def test_an_answer_that_is_too_large_is_asked_for_in_halves(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = source(server).read(WINDOW)
    monkeypatch.setattr(promapi, "BODY_BYTES_MAX", 2500)
    assert source(server).read(WINDOW).devices == whole.devices


def test_a_silent_server_is_not_asked_again_and_again() -> None:
    import time

    def slow(asked: Asked) -> Reply:
        time.sleep(1.5)
        return matrix()

    with peer(small(slow)) as (url, asked):
        api = PrometheusApi("p", Access(url, timeout_seconds=1))
        with pytest.raises(Unavailable, match="did not answer in 1 s"):
            api.matrix("m{}", (WINDOW[0] * 1000, WINDOW[1] * 1000))
        api.close()
        assert len(asked) == promapi.TIMEOUTS_MAX


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (429, {"Retry-After": "7"}, [7]),
        (503, {"Retry-After": "0"}, [0]),
        (429, {}, [1]),
        (503, {"Retry-After": "Sun, 01 Nov 2026 00:00:09 GMT", "Date": "Sun, 01 Nov 2026 00:00:04 GMT"}, [5]),
    ],
)
def test_a_server_that_asks_to_wait_is_asked_later(status: int, headers: dict[str, str], waits: list[int]) -> None:
    replies = [Reply(status, b"later", headers), matrix(({"UUID": "GPU-a"}, [(WINDOW[0] + 60, "1")]))]
    waited: list[int] = []
    with peer(lambda asked: replies.pop(0)) as (url, _):
        api = PrometheusApi("p", Access(url), pause=waited.append)
        assert len(api.matrix("m{}", (WINDOW[0] * 1000, WINDOW[1] * 1000))) == 1
        api.close()
    assert waited == waits


@pytest.mark.parametrize("wanted", ["3600", "99999999999999999999", "soon", "-1", "\u00b2"])
def test_a_server_that_asks_for_too_long_a_wait_is_unavailable(wanted: str) -> None:
    waited: list[int] = []
    headers = {"Retry-After": wanted}
    with peer(lambda asked: Reply(503, b"down", headers)) as (url, asked):
        api = PrometheusApi("p", Access(url), pause=waited.append)
        with pytest.raises(Unavailable, match="answered 503: down"):
            api.matrix("m{}", (WINDOW[0] * 1000, WINDOW[1] * 1000))
        api.close()
    assert waited == [] and len(asked) == 1


HELD = {"instance": "n1:9400", "UUID": "GPU-a", "Hostname": "n1"}


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(200, b""), Untrusted, "no JSON"),
        (Reply(200, b'{"status":"success","data":{"resultType":"matrix","result":[{"met'), Untrusted, "no JSON"),
        (Reply(200, b"\x00\xff\xfe binary"), Untrusted, "no JSON"),
        (Reply(200, b"<html>login</html>"), Untrusted, "no JSON"),
        (Reply(200, b'{"status":"error"}'), Untrusted, "without success"),
        (Reply(200, b"[]"), Untrusted, "without success"),
        (Reply(200, b'{"status":"success"}'), Untrusted, "no result"),
        (success(None), Untrusted, "no result"),
        (success({"resultType": "vector", "result": []}), Untrusted, "vector instead of a matrix"),
        (success({"resultType": "matrix", "result": [{"metric": {}, "values": [["x", 1]]}]}), Untrusted, "no result"),
        (success({"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}), Untrusted, "no result"),
        (success({"resultType": "matrix", "result": [{"metric": {}, "values": [[1e308, "1"]]}]}), Untrusted, "no result"),
        (matrix(warnings=["partial"]), Untrusted, "warning"),
        (matrix(isPartial=True), Untrusted, "part only"),
        (Reply(503, b"down"), Unavailable, "answered 503"),
        (Reply(401, b"who are you"), Unavailable, "credentials"),
        (Reply(302, b"", {"Location": "https://user:secret@elsewhere/x?token=y"}), Untrusted, "redirects to elsewhere; set url"),
        (Reply(200, zlib.compress(b"0" * (64 << 20)), {"Content-Encoding": "deflate"}), Untrusted, "encoding 'deflate'"),
        (Reply(200, b"x", {"Content-Encoding": "gzip"}), Untrusted, "not asked for"),
        (Reply(200, b'{"status":', {"Content-Length": "4000"}), Unavailable, "does not answer"),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_right_fails_the_read(reply: Reply, error: type[Exception], words: str) -> None:
    with peer(small(lambda asked: reply)) as (url, _), pytest.raises(error, match=words) as caught:
        source(url).read(WINDOW)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_infos_are_no_warnings() -> None:
    answer = matrix((HELD, [(WINDOW[0] + 60, "1")]), infos=["metric might not be a counter"])
    with peer(small(lambda asked: answer)) as (url, _):
        assert set(source(url).read(WINDOW).devices) == {DeviceKey("GPU-a")}


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        source("http://127.0.0.1:9").read(WINDOW)


def test_series_without_a_device_are_a_problem_and_no_evidence_that_devices_are_gone() -> None:
    """An exporter whose labels changed overnight is up, and yet nobody can say which of its devices are there."""

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/job/values"):
            return success(["dcgm"])
        if asked.path != "/api/v1/query":
            return success([])
        at = [(WINDOW[0] + 60, "1")]
        if asked.query.startswith("up"):
            return matrix(({"instance": "n1:9400"}, at), ({"instance": "n2:9400"}, at))
        return matrix((HELD | {"instance": "n2:9400"}, at), ({"instance": "n1:9400", "gpu_identity": "GPU-b"}, at))

    with peer(answer) as (url, _):
        reading = source(url).read(WINDOW)
    assert set(reading.devices) == {DeviceKey("GPU-a")} and set(reading.answering) == {"n2:9400"}
    assert reading.problems == {"1 series of n1:9400 name no device: have its labels changed?"}


def test_unordered_repeated_and_absurd_sample_times_do_no_harm() -> None:
    t = WINDOW[0]
    values = [(t + 120, "1"), (t + 60, "NaN"), (t + 60, "1"), (10**15, "1"), (-5, "1"), (t + 180, "+Inf")]
    with peer(small(lambda asked: matrix((HELD, values)))) as (url, _):
        runs = source(url).read(WINDOW).devices[DeviceKey("GPU-a")].runs
    assert runs == [Run((t + 60) * 1000, (t + 180) * 1000, ())]


# backends and authentication


@pytest.mark.parametrize(
    ("backend", "parameters"),
    [
        ("prometheus", {}),
        ("thanos", {"partial_response": ["false"], "dedup": ["true"], "max_source_resolution": ["0s"]}),
        ("mimir", {}),
        ("victoriametrics", {"nocache": ["1"], "deny_partial_response": ["1"]}),
    ],
)
def test_every_question_carries_what_the_backend_needs(backend: str, parameters: dict[str, list[str]]) -> None:
    with peer(small(lambda asked: matrix((HELD, [(WINDOW[0] + 60, "1")])))) as (url, asked):
        source(url, access={"backend": backend, "headers": {"X-Scope-OrgID": "fleet"}}).read(WINDOW)
    assert len(asked) >= 3
    for one in asked:
        assert one.headers["X-Scope-OrgID"] == "fleet"
        assert {name: one.form.get(name) for name in parameters} == parameters
        assert one.headers.get("Cache-Control") == ("no-store" if backend == "mimir" else None)


@pytest.mark.parametrize(("backend", "last"), [("victoriametrics", 60), ("prometheus", 180)])
def test_a_stale_marker_is_no_sample_where_the_server_answers_it(backend: str, last: int) -> None:
    """VictoriaMetrics answers a range selector with its staleness markers; Prometheus never does, so its NaN is a sample."""
    values = [(WINDOW[0] + 60, "1"), (WINDOW[0] + 120, "NaN"), (WINDOW[0] + 180, "NaN")]
    with peer(small(lambda asked: matrix((HELD, values)))) as (url, _):
        reading = source(url, access={"backend": backend}).read(WINDOW)
    assert reading.devices[DeviceKey("GPU-a")].runs[-1].last_ms == (WINDOW[0] + last) * 1000


SECRETS: dict[str, tuple[dict[str, Any], str]] = {
    "basic": ({"username": "meter", "password": "hunter2hunter2"}, "Basic bWV0ZXI6aHVudGVyMmh1bnRlcjI="),
    "bearer": ({"bearer_token": "tok-0123456789"}, "Bearer tok-0123456789"),
    "header": ({"headers": {"Authorization": "Custom abcdefgh"}}, "Custom abcdefgh"),
}


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_the_server_is_told_who_asks_and_nobody_else(kind: str) -> None:
    """A server or proxy that repeats the request in its error does not make us log the secret."""
    access, wanted = SECRETS[kind]
    secret = wanted.partition(" ")[2]
    echo: Callable[[Asked], Reply] = lambda asked: Reply(403, f"refused: {asked.headers}".encode())  # noqa: E731
    with peer(echo) as (url, asked):
        one = source(url, access=access)
        with pytest.raises(Unavailable) as caught:
            one.read(WINDOW)
        assert asked[0].headers["Authorization"] == wanted
    settings = PrometheusSettings(name="p", access=Access(url, **access))
    for text in (str(caught.value), repr(caught.value), repr(settings), repr(one)):
        for word in (secret, *map(str, access.values())):
            assert word == "meter" or word not in text
    assert "***" in str(caught.value)


def test_mimir_without_a_tenant_says_what_to_set() -> None:
    with peer(lambda asked: Reply(401, b"no org id")) as (url, _), pytest.raises(Unavailable, match="set org_id"):
        source(url, access={"backend": "mimir"}).read(WINDOW)


def test_tls_trusts_the_given_authority_only_and_shows_the_client_certificate(tmp_path: Path) -> None:
    (cert, key), (client_cert, client_key) = certificate(tmp_path, "server"), certificate(tmp_path, "client")
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_cert))
    trust.load_cert_chain(cert, key)
    trust.verify_mode = ssl.CERT_REQUIRED
    mutual = {"ca_file": str(cert), "client_cert_file": str(client_cert), "client_key_file": str(client_key)}
    with peer(small(lambda asked: matrix((HELD, [(WINDOW[0] + 60, "1")]))), trust) as (url, _):
        assert source(url, access=mutual).read(WINDOW).devices
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            source(url).read(WINDOW)
        with pytest.raises(Unavailable):
            source(url, access={"ca_file": str(cert)}).read(WINDOW)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Invalid, match="source p: its certificate files cannot be used"):
        source("https://localhost", access={"ca_file": str(path)})


# shards and fallbacks


def fleet_text() -> str:
    """Instances with names that need escaping; a GPU that moves between hosts; one that two exporters see at once."""
    lines, up = ["# TYPE DCGM_FI_DEV_GPU_TEMP gauge"], ["# TYPE up gauge"]
    power = ["# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
    series: dict[str, list[int]] = {}
    times = range(second(0), second(3), 60)
    names = ["n.1:9400", "n+2(a):9400", "n|3:9400", 'n"4\\\\x:9400', "nä5:9400", *(f"m{n}:9400" for n in range(8))]
    for number, name in enumerate(names):
        label = name.replace('"', '\\"')
        common = f'job="dcgm",instance="{label}",Hostname="h{number}",modelName="NVIDIA H100 80GB HBM3"'
        for t in times:
            up.append(f'up{{job="dcgm",instance="{label}"}} 1 {t}')
            for gpu in range(2):
                series.setdefault(f'{common},UUID="GPU-{number}-{gpu}",namespace="team-{gpu}"', []).append(t)
            if (number == 5) == (t < second(1.5)) and number in (5, 6):
                series.setdefault(f'{common},UUID="GPU-moving",namespace="team-m"', []).append(t)
            if number in (7, 12):
                series.setdefault(
                    f'{common},UUID="GPU-pair",namespace="team-{number if t > second(1.2) else 0}"', []
                ).append(t + number)
            if number == 8:
                power.append(f'DCGM_FI_DEV_POWER_USAGE{{{common},UUID="GPU-dark",namespace="team-d"}} 9 {t}')
                power.append(f'DCGM_FI_DEV_POWER_USAGE{{{common},UUID="GPU-8-0",namespace="team-0"}} 9 {t}')
            if number == 9 and not second(1.4) < t < second(1.6):
                series.setdefault(f'{common},UUID="GPU-holes",namespace="team-h"', []).append(t)
            if number == 9:
                power.append(f'DCGM_FI_DEV_POWER_USAGE{{{common},UUID="GPU-holes",namespace="team-h"}} 9 {t}')
    for labels, seen in series.items():
        lines += [f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} 30 {t}" for t in seen]
    return "\n".join([*lines, *power, *up, "# EOF", ""])


@pytest.fixture(scope="module")
def fleet(scratch: Path) -> Iterator[str]:
    with prometheus(scratch / "fleet", fleet_text()) as url:
        yield url


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_shards_say_the_same_as_one_question(fleet: str, size: int) -> None:
    """Escaped names, a GPU that moved and one that two exporters see: the number of shards changes nothing."""
    whole = source(fleet).read(WINDOW)
    with peer(lambda asked: relay(fleet, asked)) as (url, asked):
        one = source(url, shard_instances=size)
        parts, again = one.read(WINDOW), one.read(WINDOW)
    assert parts.devices == whole.devices == again.devices and len(whole.devices) == 13 * 2 + 4
    assert parts.answering == whole.answering and len(whole.answering) == 13
    assert {key: seen.host for key, seen in parts.devices.items()}[DeviceKey("GPU-moving")] == "h6"
    for one_asked in asked:
        if 'instance=~"' in one_asked.query and not one_asked.query.startswith("up"):
            assert len(re.findall(r":9400", one_asked.query)) <= max(size, 2), "companions share a shard"


def test_a_fallback_is_asked_only_where_the_first_metric_misses_a_device(fleet: str) -> None:
    with peer(lambda asked: relay(fleet, asked)) as (url, asked):
        reading = source(url).read(WINDOW)
    dark, holes = reading.devices[DeviceKey("GPU-dark")], reading.devices[DeviceKey("GPU-holes")]
    assert [run.labels for run in dark.runs] == [("team-d",)] and dark.host == "h8"
    assert len(holes.runs) == 1, "the second metric fills what the first one misses"
    extra = [one.query for one in asked if "POWER_USAGE" in one.query]
    assert len(extra) == 1
    assert re.search(r"m3", extra[0]) and re.search(r"m4", extra[0]) and "m5" not in extra[0]
    alone = source(fleet, fallbacks=()).read(WINDOW)
    assert DeviceKey("GPU-dark") not in alone.devices and len(alone.devices[DeviceKey("GPU-holes")].runs) == 2
    assert {k: v.runs for k, v in alone.devices.items() if k.uuid not in ("GPU-holes",)} == {
        k: v.runs for k, v in reading.devices.items() if k.uuid not in ("GPU-holes", "GPU-dark")
    }


def test_a_uuid_that_everybody_claims_is_nobody() -> None:
    at = [(WINDOW[0] + 60, "1")]
    series = [({"instance": f"n{n}", "UUID": "GPU-00000000"}, at) for n in range(17)]
    with peer(small(lambda asked: matrix(*series))) as (url, _):
        reading = source(url).read(WINDOW)
    assert not reading.devices
    assert reading.problems == {"GPU-00000000 is seen by 17 exporters at once; such a UUID names no GPU"}


# limits


LIMITS = [
    (422, "query processing would load too many samples into memory in query execution"),
    (503, "query timed out in expression evaluation"),
    (
        500,
        "expanding series: proxy Series(): rpc error: code = ResourceExhausted desc = exceeded bytes limit: limit 1 violated",
    ),
    (422, "the query exceeded the maximum number of chunks (limit: 2000000 chunks) (err-mimir-max-chunks-per-query)"),
    (422, "the query time range exceeds the limit (query length: 2h0m0s, limit: 1h0m0s)"),
    (422, "cannot select more than -search.maxSamplesPerQuery=1000 samples; possible solutions: increase it"),
    (503, "not enough memory for processing 12 data points"),
    (500, "rpc error: code = Unknown desc = grpc: received message larger than max (5242880 vs. 4194304)"),
    (504, "upstream request timeout"),
    (413, "<html>Request Entity Too Large</html>"),
]
LIMITS_OF_SERIES = [
    (422, "the number of matching timeseries exceeds 20; either narrow down the search or increase -search.maxUniqueTimeseries"),
    (422, "the query exceeded the maximum number of series (limit: 20 series) (err-mimir-max-series-per-query)"),
    (500, "rpc error: code = ResourceExhausted desc = exceeded series limit: limit 20 violated (got 21)"),
    (400, "too long query; got 17000 bytes; mustn't exceed `-search.maxQueryLen=16384` bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words"), LIMITS)
def test_every_server_has_its_words_for_a_span_that_is_too_long(fleet: str, status: int, words: str) -> None:
    def limited(asked: Asked) -> Reply:
        if asked.query and int(asked.query.rpartition("[")[2].rstrip("s]")) > 1500:
            return Reply(status, orjson.dumps({"status": "error", "error": words}))
        return relay(fleet, asked)

    whole = source(fleet).read(WINDOW)
    with peer(limited) as (url, _):
        reading = source(url).read(WINDOW)
    assert (reading.devices, reading.answering) == (whole.devices, whole.answering)


@pytest.mark.parametrize(("status", "words"), LIMITS_OF_SERIES)
def test_a_shard_with_too_many_series_is_parted_and_the_next_ones_are_smaller(
    fleet: str, status: int, words: str
) -> None:
    refused = []

    def limited(asked: Asked) -> Reply:
        instances = asked.query.count(":9400")
        if asked.query and (instances > 4 or not instances):
            refused.append(asked.query)
            return Reply(status, orjson.dumps({"status": "error", "error": words}))
        return relay(fleet, asked)

    whole = source(fleet).read(WINDOW)
    with peer(limited) as (url, _):
        one = source(url)
        reading = one.read(WINDOW)
        first = len(refused)
        again = one.read(WINDOW)
    assert (reading.devices, reading.answering) == (whole.devices, whole.answering)
    assert again.devices == whole.devices and 0 < len(refused) - first < first


def test_one_exporter_with_too_many_series_is_unavailable() -> None:
    status, words = LIMITS_OF_SERIES[0]
    with peer(small(lambda asked: Reply(status, words.encode()))) as (url, asked):
        with pytest.raises(Unavailable, match="matching timeseries exceeds 20"):
            source(url).read(WINDOW)
        assert len(asked) < 10


# a real Prometheus behind a proxy that asks who is there


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_a_real_prometheus_behind_a_proxy_with_a_password(server: str, tmp_path: Path, kind: str) -> None:
    access, wanted = SECRETS[kind]
    cert, key = certificate(tmp_path, "proxy")
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(cert, key)

    def guarded(asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != wanted or asked.headers.get("X-Scope-OrgID") != "fleet":
            return Reply(401, b"who are you?", {"WWW-Authenticate": "Basic"})
        return relay(server, asked)

    whole = source(server).read(WINDOW)
    org = {"X-Scope-OrgID": "fleet"}
    known = {**access, "headers": {**access.get("headers", {}), **org}, "ca_file": str(cert)}
    with peer(guarded, trust) as (url, asked):
        assert source(url, access=known).read(WINDOW) == whole
        with pytest.raises(Unavailable, match="check the source's credentials"):
            source(url, access={"ca_file": str(cert), "headers": org}).read(WINDOW)
    assert {one.path for one in asked} >= {"/api/v1/query", "/api/v1/series", "/api/v1/label/instance/values"}


# servers that never end, and sources that are broken


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_an_answer_that_drips_for_ever_is_given_up(start: bytes) -> None:
    with dripping(start, b"x") as url:
        api = PrometheusApi("p", Access(url, timeout_seconds=1))
        with pytest.raises(Unavailable, match=r"did not (answer in 1 s|end in time)"):
            api.version()
        api.close()


BROKEN = [
    Reply(200, b""),
    Reply(200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"UU'),
    Reply(200, bytes(range(256)) * 100),
    Reply(200, b'{"status":"success","data":' + b"[" * 100_000),
    matrix((HELD, []), (HELD, []), warnings=["a store is away"]),
    Reply(200, zlib.compress(b"{}"), {"Content-Encoding": "zstd"}),
    Reply(200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e999,"1"]]}]}}'),
    Reply(200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["soon","1"]]}]}}'),
    Reply(502, b"<html>bad gateway</html>"),
]


@pytest.mark.parametrize("reply", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_source_is_recorded_bills_nothing_and_is_read_once_it_is_well(
    database: Database, server: str, reply: Reply
) -> None:
    clock, broken = ManualClock(at(2.2)), [True]
    add_tenants(database, clock, "team-a", "team-b")
    answer: Callable[[Asked], Reply] = lambda asked: reply if broken and asked.query else relay(server, asked)  # noqa: E731
    with peer(answer) as (url, _):
        collecting = collector(database, clock, source(url))
        assert collecting.tick().failures == 1
        ((failure,),) = rows(database, "SELECT failure FROM source")
        assert failure.startswith("source p ")
        assert rows(database, "SELECT count(*) FROM reading") == rows(database, "SELECT count(*) FROM usage") == [(0,)]
        broken.clear()
        assert collecting.tick().failures == 0
    assert rows(database, "SELECT failure FROM source") == [("",)]
    assert {slug for slug, *_ in usage(database)} == {"team-a", "team-b"}


def test_a_window_without_a_sample_is_an_empty_reading_and_never_zero(database: Database, server: str) -> None:
    clock = ManualClock(at(24.2))
    collecting = collector(database, clock, source(server), since=at(20))
    collecting.tick()
    assert set(rows(database, "SELECT status, reason FROM reading")) == {
        ("empty", "the source answered without a single device")
    }

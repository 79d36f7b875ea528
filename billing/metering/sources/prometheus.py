"""Reads Prometheus (2 and 3, and what speaks its HTTP API) by bare range selectors: raw samples, integrated here.

`count_over_time` bills the sample on the edge twice on Prometheus 2, and subqueries bill outages; so neither is used.
"""

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import httpx
import orjson

from billing.core.errors import Unavailable, Untrusted
from billing.core.period import Seconds
from billing.fleet.gpu import DeviceKey
from billing.metering.reading import Cadence, DeviceRuns, Reading, runs_of
from billing.metering.sources.labels import LabelRules, Sample

BODY_BYTES_MAX: Final = 1 << 30
SERIES_REMEMBERED_MAX: Final = 200_000
_TOO_MUCH: Final = ("too many samples", "exceeded maximum", "limit", "timed out", "too large")


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """`metric` proves that a device is there; `matchers` narrow it, like `job="dcgm"`. Times are milliseconds."""

    name: str
    url: str
    metric: str = "DCGM_FI_DEV_GPU_TEMP"
    matchers: str = ""
    tenant_label: str = "namespace"
    cadence: Cadence = field(default_factory=lambda: Cadence(60_000, 150_000))
    lag_seconds: int = 60
    timeout_seconds: int = 120
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Series(NamedTuple):
    """One series: its labels, and when it was sampled, in ms and in order."""

    labels: dict[str, str]
    times: list[int]


class Sampled(NamedTuple):
    """One series with values: its labels, and (ms, value as it was written) in order."""

    labels: dict[str, str]
    samples: list[tuple[int, str]]


class PrometheusSource:
    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, ...], Sample | None] = {}
        self._rules = LabelRules(settings.tenant_label)
        self._client = httpx.Client(
            base_url=settings.url.rstrip("/"),
            timeout=settings.timeout_seconds,
            headers={"Accept-Encoding": "identity", **settings.headers},
        )
        self._jobs: set[str] = set()

    def close(self) -> None:
        self._client.close()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return self._settings.cadence

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def read(self, window: Seconds) -> Reading:
        """All presence samples near a window, and when their targets were up."""
        gap = self.cadence.max_gap_ms
        reach = (window[0] * 1000 - gap, window[1] * 1000 + gap)
        reading = Reading(window)
        selector = f"{self._settings.metric}{{{self._settings.matchers}}}"
        self._add_devices(reading, self._series(selector, reach))
        jobs = "|".join(re.escape(job) for job in sorted(self._jobs))
        up = (
            f"up{{job=~{orjson.dumps(jobs).decode()}}}" if jobs else "up"
        )  # before any device was seen, every job may be theirs
        self._add_answering(reading, self._series(up, reach, "1"))
        return reading

    def ping(self) -> str:
        """The server's version, for `doctor`."""
        answer = self._json(self._send("GET", "/api/v1/status/buildinfo", {}))
        return str(answer.get("data", {}).get("version", "unknown version"))

    def samples(self, selector: str, reach: tuple[int, int]) -> list[Sampled]:
        """Every series with its samples in `(reach[0], reach[1]]`, for sources that need values. Times are ms."""
        seconds = -(-(reach[1] - reach[0]) // 1000)
        query = {"query": f"{selector}[{seconds}s]", "time": f"{reach[1] // 1000}.{reach[1] % 1000:03d}"}
        response = self._send("POST", "/api/v1/query", query)
        if response.status_code in (400, 413, 422, 503) and seconds > 60 and _says_too_much(response):
            middle = (reach[0] + reach[1]) // 2
            return self.samples(selector, (reach[0], middle)) + self.samples(selector, (middle, reach[1]))
        answer = self._json(response)
        if answer.get("warnings"):
            raise Untrusted(f"{self.name} answered with a warning: {str(answer['warnings'])[:200]}")
        try:
            if answer["data"]["resultType"] != "matrix":
                raise Untrusted(f"{self.name} answered with a {answer['data']['resultType']} instead of a matrix")
            return [_sampled(one, reach) for one in answer["data"]["result"]]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Untrusted(f"{self.name} answered with something that is no result") from error

    def _add_devices(self, reading: Reading, series: list[Series]) -> None:
        times: dict[DeviceKey, dict[str, list[int]]] = {}
        for labels, at in series:
            instance = labels.get("instance", "")
            one = self._sample(labels, instance)
            if one is None:
                reading.problems.add("a series names no device")
                continue
            if job := labels.get("job"):
                self._jobs.add(job)
            reading.samples += len(at)
            by_label = times.get(one.key)
            if by_label is None:
                reading.devices[one.key] = DeviceRuns(one.model, one.host, instance)
                times[one.key] = {one.label: at}
            else:
                known = by_label.get(one.label)
                by_label[one.label] = at if known is None else sorted({*known, *at})
        for key, by_label in times.items():
            reading.devices[key].runs = runs_of(by_label, self.cadence.max_gap_ms)

    def _sample(self, labels: dict[str, str], instance: str) -> Sample | None:
        """What the labels mean. Series keep their labels for days, so the answer is remembered."""
        key = (*labels, *labels.values())
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= SERIES_REMEMBERED_MAX:
                self._known.clear()
            found = self._known[key] = self._rules.sample(labels, instance)
            return found

    def _add_answering(self, reading: Reading, series: list[Series]) -> None:
        by_instance: dict[str, set[int]] = {}
        for labels, times in series:
            by_instance.setdefault(labels.get("instance", ""), set()).update(times)
        for instance, at in by_instance.items():
            reading.answering[instance] = runs_of({"": sorted(at)}, self.cadence.max_gap_ms)

    def _series(self, selector: str, reach: tuple[int, int], value: str | None = None) -> list[Series]:
        """Every series with samples in `(reach[0], reach[1]]`; only the samples of this value, if one is given.

        A server that finds the span too large is asked for its halves.
        """
        seconds = -(-(reach[1] - reach[0]) // 1000)
        query = {"query": f"{selector}[{seconds}s]", "time": f"{reach[1] // 1000}.{reach[1] % 1000:03d}"}
        response = self._send("POST", "/api/v1/query", query)
        if response.status_code in (400, 413, 422, 503) and seconds > 60 and _says_too_much(response):
            middle = (reach[0] + reach[1]) // 2
            spans = ((reach[0], middle), (middle, reach[1]))
            return _rejoined([one for span in spans for one in self._series(selector, span, value)])
        with _uncollected():
            return self._matrix(response, reach, value)

    def _matrix(self, response: httpx.Response, reach: tuple[int, int], value: str | None) -> list[Series]:
        answer = self._json(response)
        if answer.get("warnings"):
            raise Untrusted(f"{self.name} answered with a warning: {str(answer['warnings'])[:200]}")
        try:
            data = answer["data"]
            if data["resultType"] != "matrix":
                raise Untrusted(f"{self.name} answered with a {data['resultType']} instead of a matrix")
            return [Series(one["metric"], _times(one["values"], reach, value)) for one in data["result"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Untrusted(f"{self.name} answered with something that is no result") from error

    def _send(self, method: str, path: str, data: dict[str, str]) -> httpx.Response:
        try:
            with self._client.stream(method, path, data=data or None) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > BODY_BYTES_MAX:
                        raise Untrusted(f"{self.name} answered with more than {BODY_BYTES_MAX} bytes")
                return httpx.Response(response.status_code, content=bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"source {self.name} at {self._settings.url} does not answer: {reason}") from error

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code != httpx.codes.OK:
            detail = response.text[:200].replace("\n", " ")
            raise Unavailable(f"source {self.name} answered {response.status_code}: {detail}")
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise Untrusted(f"source {self.name} answered with something that is no JSON") from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            raise Untrusted(f"source {self.name} answered without success")
        return answer


def _says_too_much(response: httpx.Response) -> bool:
    return any(phrase in response.text.lower() for phrase in _TOO_MUCH)


@contextmanager
def _uncollected() -> Iterator[None]:
    """An answer is a few hundred thousand little lists. None of them is garbage while it is decoded, and looking for it
    again and again takes twice as long as decoding does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _times(samples: list[Any], reach: tuple[int, int], value: str | None) -> list[int]:
    """In ms, without those on or before the reach's start: Prometheus 2 includes that edge, 3 does not."""
    if value is None:
        times = [round(at * 1000) for at, _ in samples]
    else:
        times = [round(at * 1000) for at, found in samples if found == value]
    if times and (times[0] <= reach[0] or times[-1] > reach[1]):
        times = [at for at in times if reach[0] < at <= reach[1]]
    return times


def _rejoined(parts: list[Series]) -> list[Series]:
    joined: dict[tuple[tuple[str, str], ...], Series] = {}
    for labels, times in parts:
        joined.setdefault(tuple(sorted(labels.items())), Series(labels, [])).times.extend(times)
    return list(joined.values())


def _sampled(one: dict[str, Any], reach: tuple[int, int]) -> Sampled:
    labels = {str(name): str(value) for name, value in one["metric"].items()}
    times = ((round(at * 1000), str(value)) for at, value in one["values"])
    return Sampled(labels, [(at, value) for at, value in times if reach[0] < at <= reach[1]])

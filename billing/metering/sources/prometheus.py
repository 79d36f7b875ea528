"""Reads Prometheus (2 and 3, and what speaks its HTTP API) by bare range selectors: raw samples, integrated here.

`count_over_time` bills the sample on the edge twice on Prometheus 2, and subqueries bill outages; so neither is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from billing.core.errors import Unavailable, Untrusted
from billing.core.period import Seconds
from billing.metering.reading import Cadence, DeviceRuns, Reading, runs_of
from billing.metering.sources.labels import LabelRules

BODY_BYTES_MAX: Final = 1 << 30
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


class PrometheusSource:
    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
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
        if self._jobs:
            jobs = "|".join(sorted(self._jobs))
            self._add_answering(reading, self._series(f"up{{job=~{orjson.dumps(jobs).decode()}}}", reach))
        return reading

    def ping(self) -> str:
        """The server's version, for `doctor`."""
        answer = self._json(self._send("GET", "/api/v1/status/buildinfo", {}))
        return str(answer.get("data", {}).get("version", "unknown version"))

    def _add_devices(self, reading: Reading, series: list[tuple[dict[str, str], list[tuple[int, str]]]]) -> None:
        times: dict[Any, dict[str, list[int]]] = {}
        for labels, samples in series:
            instance = labels.get("instance", "")
            one = self._rules.sample(labels, instance)
            if one is None:
                reading.problems.add("a series names no device")
                continue
            if job := labels.get("job"):
                self._jobs.add(job)
            reading.samples += len(samples)
            reading.devices.setdefault(one.key, DeviceRuns(one.model, one.host, instance))
            at = [at for at, _ in samples]
            by_label = times.setdefault(one.key, {})
            known = by_label.get(one.label)
            by_label[one.label] = at if known is None else sorted({*known, *at})
        for key, by_label in times.items():
            reading.devices[key].runs = runs_of(by_label, self.cadence.max_gap_ms)

    def _add_answering(self, reading: Reading, series: list[tuple[dict[str, str], list[tuple[int, str]]]]) -> None:
        by_instance: dict[str, list[int]] = {}
        for labels, samples in series:
            by_instance.setdefault(labels.get("instance", ""), []).extend(at for at, value in samples if value == "1")
        for instance, times in by_instance.items():
            reading.answering[instance] = runs_of({"": sorted(set(times))}, self.cadence.max_gap_ms)

    def _series(self, selector: str, reach: tuple[int, int]) -> list[tuple[dict[str, str], list[tuple[int, str]]]]:
        """(labels, [(ms, value)]) of every series with samples in `(reach[0], reach[1]]`.

        A server that finds the span too large is asked for its halves.
        """
        seconds = -(-(reach[1] - reach[0]) // 1000)
        query = {"query": f"{selector}[{seconds}s]", "time": f"{reach[1] // 1000}.{reach[1] % 1000:03d}"}
        response = self._send("POST", "/api/v1/query", query)
        if response.status_code in (400, 413, 422, 503) and seconds > 60 and _says_too_much(response):
            middle = (reach[0] + reach[1]) // 2
            halves = [*self._series(selector, (reach[0], middle)), *self._series(selector, (middle, reach[1]))]
            return _rejoined(halves)
        answer = self._json(response)
        if answer.get("warnings"):
            raise Untrusted(f"{self.name} answered with a warning: {str(answer['warnings'])[:200]}")
        try:
            data = answer["data"]
            if data["resultType"] != "matrix":
                raise Untrusted(f"{self.name} answered with a {data['resultType']} instead of a matrix")
            return [(one["metric"], _millis(one["values"], reach)) for one in data["result"]]
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


def _millis(values: list[Any], reach: tuple[int, int]) -> list[tuple[int, str]]:
    """Samples as (ms, value), without those on or before the reach's start: Prometheus 2 includes that edge, 3 does not."""
    samples = [(round(at * 1000), value) for at, value in values]
    if samples and (samples[0][0] <= reach[0] or samples[-1][0] > reach[1]):
        samples = [sample for sample in samples if reach[0] < sample[0] <= reach[1]]
    return samples


def _rejoined(
    parts: list[tuple[dict[str, str], list[tuple[int, str]]]],
) -> list[tuple[dict[str, str], list[tuple[int, str]]]]:
    joined: dict[tuple[tuple[str, str], ...], tuple[dict[str, str], list[tuple[int, str]]]] = {}
    for labels, samples in parts:
        joined.setdefault(tuple(sorted(labels.items())), (labels, []))[1].extend(samples)
    return list(joined.values())

"""Scrapes NVIDIA's dcgm-exporter pages directly: finds the presence lines in the bytes and keeps runs, not samples."""

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx

from billing.core.period import Seconds
from billing.fleet.gpu import DeviceKey
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run
from billing.metering.sources.labels import LabelRules, Sample

PAGE_BYTES_MAX: Final = 16 << 20
RUN_MS_MAX: Final = 3_600_000
"""A stored run is at most this long; the next one continues it. So runs near a window are found by their start."""

_ANY_METRIC: Final = re.compile(rb"^[a-zA-Z_]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DcgmSettings:
    """`targets` are page URLs; `metric` is the one whose lines prove that a device is there."""

    name: str
    targets: tuple[str, ...]
    metric: str = "DCGM_FI_DEV_GPU_TEMP"
    tenant_label: str = "namespace"
    cadence: Cadence = field(default_factory=lambda: Cadence(15_000, 37_500))
    lag_seconds: int = 90
    timeout_seconds: int = 10
    concurrency: int = 16


@dataclass(slots=True)
class ScrapeRun:
    """Consecutive scrapes that saw one device under the same labels; or, with an empty uuid, that the exporter answered."""

    instance: str
    key: DeviceKey
    model: str
    host: str
    labels: tuple[str, ...]
    first_ms: int
    last_ms: int
    samples: int = 1
    id: int | None = None
    changed: bool = True


class RunLog(Protocol):
    """Where scrape runs are kept between processes. The consumer's interface; the store implements it."""

    def recent(self, source: str, since_ms: int) -> list[ScrapeRun]:
        """Runs whose last sample is not older than `since_ms`."""
        ...

    def between(self, source: str, first_ms: int, last_ms: int) -> list[ScrapeRun]:
        """Runs with a sample in `(first_ms, last_ms]`."""
        ...

    def save(self, source: str, runs: Sequence[ScrapeRun]) -> None:
        """Insert runs without an id (and give them one), lengthen the others."""
        ...


@dataclass(slots=True)
class Scrape:
    """What one round of all targets found."""

    answered: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class DcgmSource:
    """The scraper and the source in one: `scrape` and `flush` fill the log, `read` answers from it."""

    def __init__(self, settings: DcgmSettings, log: RunLog) -> None:
        self._settings, self._log = settings, log
        self._rules = LabelRules(settings.tenant_label)
        # One client a target: a pool looks through all of its connections at every request, which for 300 exporters
        # takes fifty times as long as the requests do.
        context = httpx.create_ssl_context()
        self._clients = {
            target: httpx.Client(
                timeout=settings.timeout_seconds, verify=context, headers={"Accept-Encoding": "identity"}
            )
            for target in settings.targets
        }
        self._needle = f"{settings.metric}{{".encode()
        self._open: dict[tuple[str, DeviceKey], ScrapeRun] | None = None
        self._closed: list[ScrapeRun] = []
        self._parsed: dict[tuple[str, bytes], Sample | None] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return self._settings.cadence

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def scrape(self, now_ms: int) -> Scrape:
        """Ask every target once, a bounded number at a time. A target that fails is a gap, not an error."""
        if self._open is None:
            recent = self._log.recent(self.name, now_ms - self.cadence.max_gap_ms)
            self._open = {(run.instance, run.key): run for run in recent}
        result = Scrape()
        with ThreadPoolExecutor(max_workers=min(self._settings.concurrency, len(self._settings.targets))) as pool:
            for target, page in zip(self._settings.targets, pool.map(self._page, self._settings.targets), strict=True):
                if isinstance(page, str):
                    result.failed[target] = page
                else:
                    result.answered += 1
                    self._note(target, page, now_ms)
        return result

    def probe(self) -> Scrape:
        """Ask every target once and note nothing, for `doctor`."""
        result = Scrape()
        with ThreadPoolExecutor(max_workers=min(self._settings.concurrency, len(self._settings.targets))) as pool:
            for target, page in zip(self._settings.targets, pool.map(self._page, self._settings.targets), strict=True):
                if isinstance(page, str):
                    result.failed[target] = page
                else:
                    result.answered += 1
        return result

    def flush(self) -> int:
        """Write what changed since the last flush. Called about once a minute: a crash loses no more than that."""
        changed = [run for run in (*self._closed, *(self._open or {}).values()) if run.changed]
        self._log.save(self.name, changed)
        for run in changed:
            run.changed = False
        self._closed.clear()
        return len(changed)

    def read(self, window: Seconds) -> Reading:
        """The logged runs near a window."""
        gap = self.cadence.max_gap_ms
        reading = Reading(window)
        times: dict[str, list[ScrapeRun]] = {}
        for run in self._log.between(self.name, window[0] * 1000 - gap, window[1] * 1000 + gap):
            if not run.key.uuid:
                times.setdefault(run.instance, []).append(run)
                continue
            reading.samples += run.samples
            device = reading.devices.setdefault(run.key, DeviceRuns(run.model, run.host, run.instance))
            device.runs.append(Run(run.first_ms, run.last_ms, run.labels))
        for device in reading.devices.values():
            device.runs.sort()
        reading.answering = {
            instance: sorted(Run(run.first_ms, run.last_ms, ()) for run in runs) for instance, runs in times.items()
        }
        return reading

    def _page(self, target: str) -> bytes | str:
        """The page, or why there is none."""
        try:
            with self._clients[target].stream("GET", target) as response:
                if response.status_code != httpx.codes.OK:
                    return f"answered {response.status_code}"
                body, deadline = bytearray(), time.monotonic() + self._settings.timeout_seconds
                for chunk in response.iter_bytes():
                    body += chunk
                    if (
                        time.monotonic() > deadline
                    ):  # the client's timeout is for each piece, and pieces may drip for ever
                        return "page did not end in time"
                    if len(body) > PAGE_BYTES_MAX:
                        return f"page larger than {PAGE_BYTES_MAX} bytes"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or type(error).__name__
        return _fault(body) or bytes(body)

    def _note(self, target: str, page: bytes, now_ms: int) -> None:
        instance = instance_of(target)
        self._extend(instance, Sample(DeviceKey(""), "", "", ""), (), now_ms)
        found: dict[DeviceKey, tuple[Sample, set[str]]] = {}
        at = page.find(self._needle)
        while at >= 0:
            end = page.find(b"\n", at)
            if at == 0 or page[at - 1 : at] == b"\n":
                sample = self._sample(instance, page[at:end])
                if sample is not None:
                    found.setdefault(sample.key, (sample, set()))[1].add(sample.label)
            at = page.find(self._needle, end)
        for sample, labels in found.values():
            self._extend(instance, sample, tuple(sorted(labels - {""})), now_ms)

    def _sample(self, instance: str, line: bytes) -> Sample | None:
        labels, _, _ = line[len(self._needle) :].rpartition(b"}")
        known = (instance, labels)
        if known not in self._parsed:
            if len(self._parsed) > 1_000_000:
                self._parsed.clear()
            self._parsed[known] = self._rules.sample(parse_labels(labels.decode(errors="replace")), instance)
        return self._parsed[known]

    def _extend(self, instance: str, sample: Sample, labels: tuple[str, ...], now_ms: int) -> None:
        assert self._open is not None
        key = (instance, sample.key)
        run = self._open.get(key)
        if (
            run is not None
            and run.labels == labels
            and now_ms - run.last_ms <= self.cadence.max_gap_ms
            and now_ms - run.first_ms < RUN_MS_MAX
        ):
            run.last_ms, run.samples, run.changed = now_ms, run.samples + 1, True
            return
        if run is not None:
            self._closed.append(run)
        self._open[key] = ScrapeRun(instance, sample.key, sample.model, sample.host, labels, now_ms, now_ms)


def _fault(body: bytearray) -> str:
    """Why a page is no evidence; empty when it is some."""
    if not body.endswith(b"\n"):
        return "page cut off" if body else "empty page"
    if _ANY_METRIC.search(body) is None:  # a reloading exporter answers 200 with nothing
        return "page without a metric"
    return ""


def instance_of(target: str) -> str:
    """An exporter's name, from its page's URL: `http://node-1:9400/metrics` is `node-1:9400`."""
    url = httpx.URL(target)
    return url.netloc.decode() + url.path.removesuffix("/metrics").rstrip("/")


def parse_labels(text: str) -> dict[str, str]:
    """The label pairs inside the braces of an exposition line; quotes and backslashes may be escaped in values."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        equals = text.find('="', at)
        if equals < 0:
            break
        value, end = [], equals + 2
        while end < len(text) and text[end] != '"':
            if text[end] == "\\" and end + 1 < len(text):
                end += 1
                value.append("\n" if text[end] == "n" else text[end])
            else:
                value.append(text[end])
            end += 1
        labels[text[at:equals].strip(" ,")] = "".join(value)
        at = end + 1
    return labels

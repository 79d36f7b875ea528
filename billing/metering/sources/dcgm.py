"""Scrapes exporters' pages directly (NVIDIA's dcgm-exporter, and what has a table) and keeps runs, not samples."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final, Protocol
from urllib.parse import urlsplit

from billing.core.period import Seconds
from billing.fleet.gpu import DeviceKey
from billing.metering.exporters import Exporter, LabelRules, Sample, exporter_named
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run
from billing.metering.sources.access import Access
from billing.metering.sources.pages import PageReader
from billing.metering.sources.wire import Wire, WireError
from billing.metering.unlabelled import distrust

PAGE_BYTES_MAX: Final = 16 << 20
RUN_MS_MAX: Final = 3_600_000
"""A stored run is at most this long; the next one continues it. So runs near a window are found by their start."""

ANSWERED: Final = DeviceKey("")
FAILED: Final = DeviceKey("", "", "failed")
"""Runs of these keys say that the exporter answered, and that it did not; the label of the latter is the reason."""
LATE: Final = "not asked in time: too many exporters do not answer"
STUCK: Final = "did not answer within the round"
OK: Final = 200
SPARE_MS: Final = 500
"""A round ends so long before the next one, whoever is still silent."""
_ANSWER: Final = Sample(ANSWERED, "", "", "")
_FAILURE: Final = Sample(FAILED, "", "", "")


@dataclass(frozen=True, slots=True)
class DcgmSettings:
    """`targets` are page URLs; `presence` and `fallbacks` are metrics whose lines prove that a device is there (left out:
    those of the exporter's table)."""

    name: str
    targets: tuple[str, ...]
    exporter: Exporter = field(default_factory=lambda: exporter_named("dcgm"))
    presence: tuple[str, ...] = ()
    fallbacks: tuple[tuple[str, ...], ...] | None = None
    access: Access = field(default_factory=Access)
    tenant_label: str = "namespace"
    cadence: Cadence = field(default_factory=lambda: Cadence(15_000, 37_500))
    lag_seconds: int = 90
    timeout_seconds: int = 7
    concurrency: int = 32


@dataclass(slots=True)
class ScrapeRun:
    """Consecutive scrapes that saw one device under the same labels; or, with an empty uuid, that the exporter
    answered, or why it did not."""

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
        fallbacks = settings.exporter.fallbacks if settings.fallbacks is None else settings.fallbacks
        rules = LabelRules(settings.exporter, settings.tenant_label)
        self._reader = PageReader(rules, settings.presence or settings.exporter.presence, fallbacks)
        # One wire a target: a pool looks through all of its connections at every request, which for 300 exporters takes
        # fifty times as long as the requests do.
        context = settings.access.trust(settings.name)
        self._wires = {target: Wire(context) for target in settings.targets}
        self._headers = {"Accept-Encoding": "identity", "Accept": "text/plain;version=0.0.4", **settings.access.sent}
        workers = max(1, min(settings.concurrency, len(settings.targets)))
        self._pool, self._sick_pool = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
        """Targets that failed the last time have workers of their own, so that a dead rack does not hold up the rest."""
        self._asking: dict[str, Future[tuple[int, bytes | str]]] = {}
        """Questions of this round, and those of the last one that did not end."""
        self._flushing, self._lock = Lock(), Lock()
        """Held while runs change: a flush runs beside a scrape."""
        self._open: dict[tuple[str, DeviceKey], ScrapeRun] | None = None
        self._closed: list[ScrapeRun] = []
        self._ailing: dict[str, int] = {}
        """Targets that did not answer, and when they were asked last, in ms."""

    def close(self) -> None:
        for pool in (self._pool, self._sick_pool):
            pool.shutdown(cancel_futures=True)
        for wire in self._wires.values():
            wire.close()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return self._settings.cadence

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def scrape(self, now_ms: int, spread_ms: int = 0) -> Scrape:
        """Ask every target once, spread evenly over `spread_ms` and each in its place, a bounded number at a time. A target
        that fails is a gap with a reason, not an error.
        """
        if self._open is None:
            recent = self._log.recent(self.name, now_ms - self.cadence.max_gap_ms)
            self._open = {(run.instance, run.key): run for run in recent}
        result = Scrape()
        for target, asked_ms, page in self._round(now_ms, spread_ms):
            why = page if isinstance(page, str) else self._note(instance_of(target), page, asked_ms)
            if isinstance(page, str):
                if page != LATE or target in self._ailing:
                    self._ailing[target] = asked_ms
                with self._lock:
                    self._extend(instance_of(target), _FAILURE, (why,), asked_ms)
            else:
                self._ailing.pop(target, None)
            if why:
                result.failed[target] = why
            else:
                result.answered += 1
        return result

    def probe(self) -> Scrape:
        """Ask every target once and note nothing, for `doctor`."""
        result = Scrape()
        for target, _, page in self._round(0, 0):
            why = page if isinstance(page, str) else self._reader.read(instance_of(target), page).problem
            if why:
                result.failed[target] = why
            else:
                result.answered += 1
        return result

    def flush(self) -> int:
        """Write what changed since the last flush. Called about once a minute: a crash loses no more than that. Scraping goes
        on meanwhile."""
        with self._flushing:
            with self._lock:
                done, self._closed = self._closed, []
                changed = [run for run in (*done, *(self._open or {}).values()) if run.changed]
                written = [replace(run) for run in changed]
                for run in changed:
                    run.changed = False
            try:
                self._log.save(self.name, written)
            except BaseException:
                with self._lock:
                    self._closed = done + self._closed
                    for run in changed:
                        run.changed = True
                raise
            with self._lock:
                for run, copy in zip(changed, written, strict=True):
                    run.id = copy.id
        return len(changed)

    def read(self, window: Seconds) -> Reading:
        """The logged runs near a window, and why exporters did not answer in it."""
        gap = self.cadence.max_gap_ms
        reading = Reading(window)
        answers: dict[str, list[Run]] = {}
        failures: dict[str, set[str]] = {}
        for run in self._log.between(self.name, window[0] * 1000 - gap, window[1] * 1000 + gap):
            if run.key == FAILED:
                failures.setdefault(run.labels[0] if run.labels else "", set()).add(run.instance)
            elif run.key == ANSWERED:
                answers.setdefault(run.instance, []).append(Run(run.first_ms, run.last_ms, ()))
            else:
                reading.samples += run.samples
                device = reading.devices.setdefault(run.key, DeviceRuns(run.model, run.host, run.instance))
                device.runs.append(Run(run.first_ms, run.last_ms, run.labels))
        for device in reading.devices.values():
            device.runs.sort()
        reading.answering = {instance: sorted(runs) for instance, runs in answers.items()}
        for why, instances in failures.items():
            more = f" and {len(instances) - 1} more" if len(instances) > 1 else ""
            reading.problems.add(f"{why}: {min(instances)}{more}")
        distrust(reading, self.cadence)
        return reading

    def _round(self, now_ms: int, spread_ms: int) -> list[tuple[str, int, bytes | str]]:
        """(target, when it was asked, its page or why there is none) of every target."""
        begun, seconds = time.monotonic_ns(), self._settings.timeout_seconds
        over_ms = max(spread_ms, self.cadence.interval_ms - seconds * 1000) if spread_ms else None

        def elapsed_ms() -> int:
            return (time.monotonic_ns() - begun) // 1_000_000 if spread_ms else 0

        def ask(target: str) -> tuple[int, bytes | str]:
            at_ms = elapsed_ms()
            late = over_ms is not None and at_ms > over_ms
            return now_ms + at_ms, LATE if late else self._page(target)

        before, self._asking = {target: one for target, one in self._asking.items() if not one.done()}, {}
        free = [target for target in self._settings.targets if target not in before]
        for target in sorted(self._ailing, key=lambda target: self._ailing[target]):
            if target not in before:
                self._asking[target] = self._sick_pool.submit(ask, target)
        for number, target in enumerate(free):
            early_ms = spread_ms * number // len(free) - elapsed_ms()
            if early_ms > 0:
                time.sleep(early_ms / 1000)
            if target not in self._asking:
                self._asking[target] = self._pool.submit(ask, target)
        if over_ms is not None:
            wait(self._asking.values(), timeout=max(0, self.cadence.interval_ms - SPARE_MS - elapsed_ms()) / 1000)
        answers: list[tuple[str, int, bytes | str]] = [(target, now_ms + elapsed_ms(), STUCK) for target in before]
        for target, one in self._asking.items():
            ended = over_ms is None or one.done()
            answers.append((target, *(one.result() if ended else (now_ms + elapsed_ms(), STUCK))))
        self._asking.update(before)
        return answers

    def _page(self, target: str) -> bytes | str:
        """The page, or why there is none."""
        seconds = self._settings.timeout_seconds
        try:
            answer = self._wires[target].ask(target, self._headers, seconds=seconds, bytes_max=PAGE_BYTES_MAX)
        except WireError as error:
            return self._settings.access.clean(f"page {error}")
        if answer.status != OK:
            return f"answered {answer.status}"
        encoding = answer.headers.get("content-encoding", "identity")
        if encoding != "identity":  # never unpacked: it was not asked for, and a small one may be huge
            return self._settings.access.clean(f"encoding {encoding} that was not asked for")
        if "openmetrics" in answer.headers.get("content-type", "") and not answer.body.rstrip().endswith(b"# EOF"):
            return "page cut off"
        return answer.body

    def _note(self, instance: str, body: bytes, at_ms: int) -> str:
        """Note what a page proves. Returns what is wrong with it."""
        assert self._open is not None
        page = self._reader.read(instance, body)
        with self._lock:
            before = self._open.get((instance, ANSWERED))
            if before is not None and at_ms <= before.last_ms:
                return "the clock went back: nothing is noted until it has caught up"
            self._extend(
                instance, _FAILURE if page.problem else _ANSWER, (page.problem,) if page.problem else (), at_ms
            )
            for sample, labels in page.devices.values():
                self._extend(instance, sample, tuple(sorted(labels - {""})), at_ms)
        return page.problem

    def _extend(self, instance: str, sample: Sample, labels: tuple[str, ...], at_ms: int) -> None:
        assert self._open is not None
        key = (instance, sample.key)
        run = self._open.get(key)
        if run is not None and at_ms <= run.last_ms:
            return
        if (
            run is not None
            and run.labels == labels
            and at_ms - run.last_ms <= self.cadence.max_gap_ms
            and at_ms - run.first_ms < RUN_MS_MAX
        ):
            run.last_ms, run.samples, run.changed = at_ms, run.samples + 1, True
            return
        if run is not None:
            self._closed.append(run)
        self._open[key] = ScrapeRun(instance, sample.key, sample.model, sample.host, labels, at_ms, at_ms)


def instance_of(target: str) -> str:
    """An exporter's name, from its page's URL: `http://node-1:9400/metrics` is `node-1:9400`."""
    url = urlsplit(target)
    return url.netloc + url.path.removesuffix("/metrics").rstrip("/")

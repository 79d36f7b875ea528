"""Reads Prometheus (2 and 3, and what speaks its HTTP API) by bare range selectors: raw samples, integrated here.

`count_over_time` bills the sample on the edge twice on Prometheus 2, and subqueries bill outages; so neither is used.
A large fleet is read in shards, groups of scraped instances, so that no answer and no memory grows with the fleet.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from typing import Final, TypeVar

from billing.core.period import DAY, Seconds
from billing.fleet.gpu import DeviceKey
from billing.metering.exporters import Exporter, LabelRules, Sample, exporter_named
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run, runs_of
from billing.metering.sources.access import Access
from billing.metering.sources.promapi import PrometheusApi, Series, TooMany, quoted
from billing.metering.unlabelled import distrust

T = TypeVar("T")

SERIES_REMEMBERED_MAX: Final = 200_000
MATCHER_CHARS_MAX: Final = 8_000
"""VictoriaMetrics refuses queries above 16 KiB."""
INSTANCES_OF_A_DEVICE_MAX: Final = 16
"""A UUID that more exporters claim in one window is no identity."""
JOBS_DAYS: Final = 31
"""A job that lost its last device so long ago is not asked any more whether it answers."""
UP_PER_SHARD: Final = 8
"""An exporter has one `up` for some eight devices, so shards of it are larger."""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """`presence` and `fallbacks` are metric names that prove that a device is there (left out: those of the exporter's
    table); `matchers` narrow them, like `job="dcgm"`. A shard has `shard_instances` exporters."""

    name: str
    access: Access
    exporter: Exporter = field(default_factory=lambda: exporter_named("dcgm"))
    presence: tuple[str, ...] = ()
    fallbacks: tuple[tuple[str, ...], ...] | None = None
    matchers: str = ""
    tenant_label: str = "namespace"
    cadence: Cadence = field(default_factory=lambda: Cadence(60_000, 150_000))
    lag_seconds: int = 60
    shard_instances: int = 100
    shard_concurrency: int = 2


@dataclass(slots=True)
class _Device:
    """What a shard saw of a device. `times` are given up once the runs are known: a reading keeps runs only."""

    sample: Sample
    instance: str
    last_ms: int
    instances: set[str]
    times: dict[str, list[int]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    """What one shard saw. `nameless` counts, by instance, series that name no device."""

    devices: dict[DeviceKey, _Device] = field(default_factory=dict)
    nameless: dict[str, int] = field(default_factory=dict)
    samples: int = 0


class PrometheusSource:
    def __init__(self, settings: PrometheusSettings) -> None:
        """Raises Invalid for a certificate file that cannot be used."""
        self._settings = settings
        self._api = PrometheusApi(settings.name, settings.access)
        self._rules = LabelRules(settings.exporter, settings.tenant_label)
        self._presence = settings.presence or settings.exporter.presence
        self._fallbacks = settings.exporter.fallbacks if settings.fallbacks is None else settings.fallbacks
        self._known: dict[tuple[str, ...], Sample | None] = {}
        self._jobs_before: tuple[int, list[str]] = (-1, [])
        self._size = settings.shard_instances
        self._together: dict[str, str] = {}
        """Instances that were seen to share a device, each with one that stands for all of them: they share a shard."""

    def close(self) -> None:
        self._api.close()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return self._settings.cadence

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def ping(self) -> str:
        """The server's version, for `doctor`."""
        return self._api.version()

    def read(self, window: Seconds) -> Reading:
        """All presence samples near a window, and when their targets were up."""
        gap = self.cadence.max_gap_ms
        reach = (window[0] * 1000 - gap, window[1] * 1000 + gap)
        reading, nameless = Reading(window), dict[str, int]()
        selector = self._selector([name for names in (self._presence, *self._fallbacks) for name in names])
        instances = self._api.label_values("instance", selector, reach)
        shards = partial(self._divided, partial(self._shard, reach), instances)
        with ThreadPoolExecutor(max_workers=self._settings.shard_concurrency) as pool:
            try:
                shared = self._add(reading, nameless, chain.from_iterable(pool.map(shards, self._groups(instances))))
                if shared:
                    again = [part.devices for part in chain.from_iterable(pool.map(shards, self._reunited(shared)))]
                    for key in shared:
                        if found := next((devices[key] for devices in again if key in devices), None):
                            reading.devices[key] = _device_runs(found)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._add_answering(reading, reach)
        for instance, count in nameless.items():  # it answered with something we cannot read: that is no evidence
            reading.answering.pop(instance, None)
            reading.problems.add(
                f"{count} series of {instance or 'no instance'} name no device: have its labels changed?"
            )
        distrust(reading, self.cadence)
        return reading

    def _add(self, reading: Reading, nameless: dict[str, int], parts: Iterable[_Part]) -> dict[DeviceKey, set[str]]:
        """Put shards together. Returns the devices that several of them saw, with their instances: runs of two shards
        cannot be merged to the sample, so these are read once more from all of their instances at once."""
        seen: dict[DeviceKey, set[str]] = {}
        shared: dict[DeviceKey, set[str]] = {}
        for part in parts:
            reading.samples += part.samples
            nameless.update(part.nameless)
            for key, found in part.devices.items():
                before = seen.get(key)
                if before is not None:
                    found.instances |= before
                    shared[key] = found.instances
                seen[key] = found.instances
                reading.devices[key] = _device_runs(found)
        for key in [key for key, instances in seen.items() if len(instances) > INSTANCES_OF_A_DEVICE_MAX]:
            del reading.devices[key]
            shared.pop(key, None)
            reading.problems.add(f"{key} is seen by {len(seen[key])} exporters at once; such a UUID names no GPU")
        return shared

    def _reunited(self, shared: Mapping[DeviceKey, set[str]]) -> list[list[str]]:
        """Groups in which every shared device has all of its instances. They stay together from now on."""
        for instances in shared.values():
            ordered = sorted(instances)
            for other in ordered[1:]:
                self._together[self._root(other)] = self._root(ordered[0])
        wanted = {self._root(one) for instances in shared.values() for one in instances}
        members = {one for one in (*self._together, *wanted) if self._root(one) in wanted}
        return self._cut(members, self._size)

    def _root(self, instance: str) -> str:
        while (above := self._together.get(instance, instance)) != instance:
            instance = above
        return instance

    def _groups(self, instances: Sequence[str], times: int = 1) -> list[list[str]]:
        """The shards: lists of instances, where the empty list is everything. Series without an instance are a shard too."""
        size = self._size * times
        return [[]] if len(instances) <= size else self._cut({*instances, ""}, size)

    def _divided(self, ask: Callable[[list[str]], T], known: Sequence[str], group: list[str]) -> list[T]:
        """Ask for a shard; one with too many series is asked for in halves, and shards are smaller from now on. Instances
        that share a device are never parted."""
        try:
            return [ask(group)]
        except TooMany:
            wanted = group or [*known, ""]
            halves = self._cut(wanted, -(-len(wanted) // 2))
            if len(halves) < 2:
                raise
        self._size = max(1, min(self._size, len(wanted) // 2))
        return [found for half in halves for found in self._divided(ask, known, half)]

    def _cut(self, instances: Iterable[str], size: int) -> list[list[str]]:
        groups: list[list[str]] = []
        chars, before = 0, ""
        for root, one in sorted((self._root(one), one) for one in instances):
            chars += len(re.escape(one)) + 3
            if not groups or (root != before and (len(groups[-1]) >= size or chars > MATCHER_CHARS_MAX)):
                groups.append([])
                chars = len(re.escape(one)) + 3
            groups[-1].append(one)
            before = root
        return groups

    def _shard(self, reach: tuple[int, int], instances: list[str]) -> _Part:
        part = _Part()
        self._fold(part, self._api.matrix(self._selector(self._presence, instances), reach), None)
        self._close(part)
        if self._fallbacks:
            self._ask_fallbacks(part, reach, instances)
        return part

    def _ask_fallbacks(self, part: _Part, reach: tuple[int, int], instances: list[str]) -> None:
        """Ask the fallbacks in turn, each only for instances that have a device which the ones before it miss."""
        selectors = [self._selector(names, instances) for names in self._fallbacks]
        offered: dict[str, dict[DeviceKey, set[str]]] = {}
        for labels in self._api.series(selectors, reach):
            sample = self._sample(labels)
            if sample is not None:
                by_key = offered.setdefault(labels.get("__name__", ""), {})
                by_key.setdefault(sample.key, set()).add(labels.get("instance", ""))
        for names in self._fallbacks:
            missed = {
                key: where
                for name in names
                for key, where in offered.get(name, {}).items()
                if (known := part.devices.get(key)) is None or self._has_gap(known.runs, reach)
            }
            if missed:
                at = sorted({instance for where in missed.values() for instance in where})
                for key in missed:
                    if key in part.devices:
                        part.devices[key].times = {}
                for group in self._cut(at, self._size):
                    both = [*self._presence, *names]
                    self._fold(part, self._api.matrix(self._selector(both, group), reach), set(missed))
                self._close(part)

    def _fold(self, part: _Part, series: Iterable[Series], wanted: set[DeviceKey] | None) -> None:
        """Take series in; only those of `wanted` devices, if they are given."""
        for labels, at in series:
            instance = labels.get("instance", "")
            one = self._sample(labels)
            if one is None and wanted is None:
                part.nameless[instance] = part.nameless.get(instance, 0) + 1
            if one is None or (wanted is not None and one.key not in wanted):
                continue
            part.samples += len(at)
            found = part.devices.get(one.key)
            if found is None:
                found = part.devices[one.key] = _Device(one, instance, at[-1], set())
            elif (at[-1], instance) > (found.last_ms, found.instance):  # the newest says where the device is
                found.sample, found.instance, found.last_ms = one, instance, at[-1]
            found.instances.add(instance)
            known = found.times.get(one.label)
            found.times[one.label] = at if known is None else sorted({*known, *at})

    def _close(self, part: _Part) -> None:
        for found in part.devices.values():
            if found.times:
                found.runs = runs_of(found.times, self.cadence.max_gap_ms)
                found.times = {}

    def _has_gap(self, runs: Sequence[Run], reach: tuple[int, int]) -> bool:
        edges = [reach[0], *(at for run in runs for at in (run.first_ms, run.last_ms)), reach[1]]
        return any(b - a > self.cadence.max_gap_ms for a, b in list(pairwise(edges))[::2])

    def _sample(self, labels: dict[str, str]) -> Sample | None:
        """What the labels mean. Series keep their labels for days, so the answer is remembered."""
        key = (*labels, *labels.values())
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= SERIES_REMEMBERED_MAX:
                self._known.clear()
            found = self._known[key] = self._rules.sample(labels, labels.get("instance", ""))
            return found

    def _add_answering(self, reading: Reading, reach: tuple[int, int]) -> None:
        """When exporters were up: all of the jobs that had devices lately, also those that lost their last one. Before any
        device was seen, every job may be theirs."""
        jobs = self._jobs(reach)
        of_jobs = [_one_of("job", jobs)] if jobs else []
        instances = self._api.label_values("instance", f"up{{{','.join(of_jobs)}}}", reach)

        def ask(group: list[str]) -> list[Series]:
            matchers = ",".join([*of_jobs, *([_one_of("instance", group)] if group else [])])
            return self._api.matrix(f"up{{{matchers}}}", reach, "1")

        for group in self._groups(instances, UP_PER_SHARD):
            up: dict[str, set[int]] = {}
            for labels, times in chain.from_iterable(self._divided(ask, instances, group)):
                up.setdefault(labels.get("instance", ""), set()).update(times)
            for instance, at in up.items():
                reading.answering[instance] = runs_of({"": sorted(at)}, self.cadence.max_gap_ms)

    def _jobs(self, reach: tuple[int, int]) -> list[str]:
        """The jobs that had devices in the month before. The answer must not depend on what this process happened to read
        before, and days that are over need to be asked about once."""
        today = reach[0] // (DAY * 1000) * DAY * 1000
        selector = self._selector(self._presence)
        known = self._jobs_before
        if known[0] != today:
            found = self._api.label_values("job", selector, (today - JOBS_DAYS * DAY * 1000, today))
            known = self._jobs_before = (today, found)
        return sorted({*known[1], *self._api.label_values("job", selector, (today, reach[1]))})

    def _selector(self, names: Sequence[str], instances: Sequence[str] = ()) -> str:
        matchers = [self._settings.matchers] if self._settings.matchers else []
        if instances:
            matchers.append(_one_of("instance", instances))
        if len(names) == 1:
            return f"{names[0]}{{{','.join(matchers)}}}"
        return f"{{{','.join([_one_of('__name__', names), *matchers])}}}"


def _one_of(label: str, values: Sequence[str]) -> str:
    return f"{label}=~{quoted('|'.join(map(re.escape, values)))}"


def _device_runs(found: _Device) -> DeviceRuns:
    return DeviceRuns(found.sample.model, found.sample.host, found.instance, found.runs)

"""What a source answers when it is asked for a window, and the protocol that every source follows."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import Final, NamedTuple, Protocol

from billing.core.period import HOUR, Seconds
from billing.fleet.gpu import DeviceKey

REREADS: Final = (HOUR, 6 * HOUR, 24 * HOUR)
"""A window is read again so long after its end: samples come late."""


class Run(NamedTuple):
    """Consecutive samples of a device under the same labels, none further apart than max_gap: first and last, in ms.

    `labels` are sorted and without the empty one: none is an idle device, two are two holders at one instant.
    """

    first_ms: int
    last_ms: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a source samples. A pause longer than `max_gap_ms` is a gap; a sample after one covers `interval_ms`."""

    interval_ms: int
    max_gap_ms: int

    def __post_init__(self) -> None:
        assert 0 < self.interval_ms <= self.max_gap_ms


@dataclass(slots=True)
class DeviceRuns:
    """The samples of one device, as runs in order. Runs never overlap: a sample belongs to one."""

    model: str
    host: str
    instance: str
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """Everything that was sampled in `(start - max_gap, end + max_gap]` of a window. `answering` holds, by instance,
    when the exporter itself answered: it tells a device that is gone from a source that is blind."""

    window: Seconds
    devices: dict[DeviceKey, DeviceRuns] = field(default_factory=dict)
    answering: dict[str, list[Run]] = field(default_factory=dict)
    samples: int = 0
    problems: set[str] = field(default_factory=set)
    """What could not be understood, one line each: kept with the reading, never billed."""
    suspected: dict[str, list[Seconds]] = field(default_factory=dict)
    """By instance, when an exporter showed devices and seems not to have known who held them: taken for blindness."""
    corrects: bool = False
    """The source keeps records that people mend: a later answer counts also where it says less than an earlier one."""
    holders_only: bool = False
    """The source knows GPUs by who holds them: a reading without a single one is idle time, not a failure."""


class Source(Protocol):
    """Something that knows when which device was present under which label."""

    @property
    def name(self) -> str:
        """As configured; observations carry it."""
        ...

    @property
    def cadence(self) -> Cadence: ...

    @property
    def lag_seconds(self) -> int:
        """How long after a window's end its last sample may arrive."""
        ...

    def read(self, window: Seconds) -> Reading:
        """Read one window. Raises Unavailable (ask again later) or Untrusted (an answer that cannot be right)."""
        ...


def runs_of(series: Mapping[str, Sequence[int]], max_gap_ms: int) -> list[Run]:
    """The runs of one device from its series: {label: sample times in ms, sorted}.

    Several series at one instant (virtual GPUs, jobs) are one sample with several labels; series of one label at other
    instants (an HA pair) are more samples of the same.
    """
    if len(series) == 1:  # the common case: one series, seldom a gap
        label, times = next(iter(series.items()))
        labels = (label,) if label else ()
        if not times:
            return []
        if max(map(sub, times[1:], times), default=0) <= max_gap_ms:
            return [Run(times[0], times[-1], labels)]
        return _joined(((at, labels) for at in times), max_gap_ms)
    instants: dict[int, set[str]] = {}
    for label, times in series.items():
        for at in times:
            instants.setdefault(at, set()).add(label)
    ordered = sorted(instants)
    return _joined(((at, tuple(sorted(instants[at] - {""}))) for at in ordered), max_gap_ms)


def _joined(samples: Iterable[tuple[int, tuple[str, ...]]], max_gap_ms: int) -> list[Run]:
    runs: list[Run] = []
    for at, labels in samples:
        if runs and runs[-1].labels == labels and at - runs[-1].last_ms <= max_gap_ms:
            runs[-1] = Run(runs[-1].first_ms, at, labels)
        else:
            runs.append(Run(at, at, labels))
    return runs


def digest(parts: Iterable[tuple[object, ...]]) -> str:
    """SHA-256 of a canonical reading: its parts in sorted order, so that the order of series or labels changes nothing."""
    hasher = hashlib.sha256()
    for part in sorted(map(repr, parts)):
        hasher.update(part.encode() + b"\n")
    return hasher.hexdigest()

"""Usage that other systems wrote down: CSV files of who held which device from when to when.

Each line is `device` (or `host` and `index`), `label`, `start`, `end`, and what the device is. A file covers the time from the
hour of its first start to its last end, or what its first line says; it says nothing about any other time.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from billing.core import table
from billing.core.errors import Invalid, Unavailable, Untrusted
from billing.core.period import HOUR, Seconds, at_second, clip, epoch_seconds, merge, parse_time, rfc3339
from billing.fleet.gpu import DeviceKey
from billing.metering.holdings import EXACT, Holding, is_plain, margin, reading_of
from billing.metering.reading import Cadence, Reading
from billing.metering.sources.files import Folder, Stamp

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "device": ("uuid", "gpu"),
    "host": ("node",),
    "index": (),
    "label": ("tenant", "account", "namespace"),
    "start": ("from",),
    "end": ("to",),
    "model": (),
    "gpu_i_id": (),
    "profile": (),
}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_COVERS: Final = re.compile(r"#\s*covers\s+([^\s,]+)\s+([^\s,]+)[\s,]*")

Labelled = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CsvSettings:
    """`files` are paths or patterns; `model` is what devices are whose lines do not say it."""

    name: str
    files: tuple[str, ...]
    model: str = ""
    lag_seconds: int = 60


@dataclass(slots=True)
class Used:
    """A device of a file: what it is, the line that first names it, and its lines as (start, end, label)."""

    model: str
    host: str
    line: int
    rows: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Usage:
    """What a file says."""

    covers: Seconds
    devices: dict[DeviceKey, Used] = field(default_factory=dict)
    rows: int = 0


class CsvSource:
    def __init__(self, settings: CsvSettings) -> None:
        self._settings = settings
        self._folder = Folder(settings.name, settings.files, self._decoded)
        self._merged: tuple[list[Usage], dict[DeviceKey, Holding]] = ([], {})

    def close(self) -> None:
        """Nothing stays open."""

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return EXACT

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def ping(self) -> str:
        """What it knows at the moment, for `doctor`."""
        found = self._folder.read()
        spans = merge(usage.covers for _, usage in found)
        until = f", until {rfc3339(at_second(spans[-1][1]))}" if spans else ""
        return f"{len(found)} files, {sum(usage.rows for _, usage in found)} lines{until}"

    def read(self, window: Seconds) -> Reading:
        """What all files together say about a window. Raises Unavailable when they do not cover it."""
        files = self._folder.read()
        spans = merge(usage.covers for _, usage in files)
        if not any(start <= window[0] and window[1] <= end for start, end in spans):
            until = rfc3339(at_second(spans[-1][1])) if spans else "never"
            raise Unavailable(
                f"source {self.name}: no file covers {rfc3339(at_second(window[0]))} to {rfc3339(at_second(window[1]))};"
                f" the last one ends at {until}",
                remedy="add a file, a line without a label for time that nobody held, or a first line: # covers START END",
            )
        wide = margin(window)
        holdings = {key: _within(one, wide) for key, one in self._holdings([usage for _, usage in files]).items()}
        reading = reading_of(window, holdings, {self.name: spans})
        reading.corrects = True
        reading.samples = sum(len(one.held) for one in holdings.values())
        return reading

    def _holdings(self, files: list[Usage]) -> dict[DeviceKey, Holding]:
        """Every device with all of its time; worked out anew when a file has changed."""
        known, found = self._merged
        if len(known) == len(files) and all(one is other for one, other in zip(known, files, strict=True)):
            return found
        rows: dict[DeviceKey, list[tuple[int, int, str]]] = {}
        found = {}
        for usage in files:
            for key, used in usage.devices.items():
                one = found.setdefault(key, Holding(used.model, used.host, self.name))
                if one.model != used.model:
                    raise Untrusted(f"source {self.name}: {key} is {one.model} in one file and {used.model} in another")
                one.host = used.host
                one.present.append(usage.covers)
                rows.setdefault(key, []).extend(used.rows)
        for key, one in found.items():
            one.held, one.present = labelled(rows[key]), merge(one.present)
        self._merged = (files, found)
        return found

    def _decoded(self, content: bytes, _: Stamp) -> Usage:
        """A whole file, or nothing of it."""
        try:
            return parse(content, self._settings)
        except Invalid as error:
            raise Untrusted(str(error)) from error


def parse(content: bytes, settings: CsvSettings) -> Usage:
    """A usage file. Raises Invalid with the lines that are wrong."""
    found = table.read(content, COLUMNS, ("label", "start", "end"))
    usage = Usage((0, 0))
    for line, row in found.rows:
        try:
            _add(usage, line, row, settings)
        except Invalid as error:
            found.wrong(line, error)
    found.check()
    spans = [(start, end) for used in usage.devices.values() for start, end, _ in used.rows]
    if match := _COVERS.fullmatch(found.remark):
        usage.covers = (epoch_seconds(parse_time(match.group(1))), epoch_seconds(parse_time(match.group(2))))
    elif spans:
        usage.covers = (min(start for start, _ in spans) // HOUR * HOUR, max(end for _, end in spans))
    return usage


def _add(usage: Usage, line: int, row: Mapping[str, str], settings: CsvSettings) -> None:
    host, label = row.get("host", ""), row["label"]
    uuid = row.get("device", "")
    if not uuid:
        if not (host and row.get("index")):
            raise Invalid("no device is named", remedy="give device, or host and index")
        uuid = f"{settings.name}/{host}/{row['index']}"
    key = DeviceKey(uuid, row.get("gpu_i_id", ""), row.get("profile", ""))
    for text in (uuid, host, label, key.gpu_i_id, key.profile, row.get("model", "")):
        if text and not is_plain(text):
            raise Invalid(f"{text[:40]!r} is not plain text")
    if bool(key.gpu_i_id) != bool(key.profile):
        raise Invalid("gpu_i_id and profile go together")
    start, end = _time(row["start"]), _time(row["end"])
    if end < start:
        raise Invalid(f"it ends before it starts, at {row['end']}")
    model = row.get("model") or settings.model or "unknown"
    used = usage.devices.setdefault(key, Used(model, host or settings.name, line))
    if used.model != model:
        raise Invalid(f"{uuid[:60]} is {model}, and on line {used.line} it is {used.model}")
    used.host = host or used.host
    used.rows.append((start, end, label))
    usage.rows += 1


def _time(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise Invalid(f"{text[:40]!r} is not a time with its offset", remedy="write it like 2026-10-01T00:00:00Z")
    return epoch_seconds(parse_time(text.upper()))


def labelled(rows: Sequence[tuple[int, int, str]]) -> list[Labelled]:
    """The time of a device that carries labels, in order and apart; where rows of several labels overlap, all of them."""
    named = sorted((start, end, label) for start, end, label in rows if label and start < end)
    edges = sorted({edge for start, end, _ in named for edge in (start, end)})
    found: list[Labelled] = []
    active: list[tuple[int, str]] = []
    at = 0
    for lo, hi in pairwise(edges):
        active = [(end, label) for end, label in active if end > lo]
        while at < len(named) and named[at][0] == lo:
            active.append((named[at][1], named[at][2]))
            at += 1
        labels = tuple(sorted({label for _, label in active}))
        if labels and found and found[-1][1:] == (lo, labels):
            found[-1] = (found[-1][0], hi, labels)
        elif labels:
            found.append((lo, hi, labels))
    return found


def _within(one: Holding, wide: Seconds) -> Holding:
    first = bisect_right(one.held, wide[0], key=lambda held: held[1])
    last = bisect_left(one.held, wide[1], key=lambda held: held[0])
    present = [cut for span in one.present if (cut := clip(span, wide))]
    return Holding(one.model, one.host, one.instance, one.held[first:last], present)

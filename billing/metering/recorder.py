"""Stores what a batch of readings saw, in one transaction: the inventory, observations, usage, and the readings themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from billing.core.period import Seconds, clip, merge, subtract
from billing.db.engine import Session
from billing.fleet import store as fleet
from billing.fleet.gpu import Device, DeviceKey, Sighting
from billing.fleet.place import Place, homes
from billing.fleet.store import places
from billing.metering import coverage
from billing.metering.coverage import Absence, Segment, State
from billing.metering.deriver import SourceTerms, by_gpu, rederive
from billing.metering.reading import Cadence, Reading, digest
from billing.metering.store import readings, runs
from billing.metering.store.readings import Read
from billing.metering.unlabelled import carry, doubted, lost_at_end

PROBLEMS_SHOWN: Final = 5

Presence = Mapping[DeviceKey, list[Segment]]


@dataclass(slots=True)
class Batch:
    """Readings that are stored together, and when their devices were present. `weight` is how much is held in memory."""

    cadence: Cadence
    readings: list[Reading] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    weight: int = 0

    def add(self, reading: Reading) -> None:
        self.readings.append(reading)
        self.presence.append(coverage.presence(reading, self.cadence))
        self.weight += len(reading.devices)

    def carry(self, lost: Mapping[int, Mapping[str, int]]) -> list[dict[str, int]]:
        """Let each window begin with what the one before it ended with; `lost` is what stored windows did, by their end.
        Returns what each ends with."""
        ends = dict(lost)
        for position, reading in enumerate(self.readings):
            if before := ends.get(reading.window[0]):
                carry(reading, before)
                self.presence[position] = coverage.presence(reading, self.cadence)
            ends[reading.window[1]] = lost_at_end(reading)
        return [dict(ends[reading.window[1]]) for reading in self.readings]


def record(session: Session, terms: SourceTerms, batch: Batch, now: datetime) -> int:
    """Store a batch, and derive usage where it is new. Returns how many windows had not changed."""
    windows = [reading.window for reading in batch.readings]
    reach = min(start for start, _ in windows), max(end for _, end in windows)
    stored_ends = readings.lost_labels(session, terms.id, reach)
    lost = batch.carry(stored_ends)
    devices, problems = _register(session, terms, batch, now)
    gpus = by_gpu(devices)
    names = {device.id: str(device.key) for device in devices}
    keys = {device.key for device in devices}
    known = readings.digests(session, terms.id, windows)
    before = {device: runs.segments(rows) for device, rows in runs.observations(session, terms.id, reach).items()}
    whose = {gpu_id: homes(found, reach) for gpu_id, found in places.near(session, list(gpus), reach).items()}
    reads: list[Read] = []
    observed: dict[int, list[Segment]] = {}
    changed: list[Seconds] = []
    for reading, found, ends in zip(batch.readings, batch.presence, lost, strict=True):
        seatless = coverage.seatless(found, keys)
        absence = Absence(terms.name, coverage.answering(reading, batch.cadence), whose, seatless, reading.suspected)
        kept = _undoubted(before, reading, devices)
        seen: dict[int, list[Segment]] = {}
        for parts in gpus.values():
            now_seen = coverage.observe(found, parts, absence, reading.window)
            if before and not reading.corrects and coverage.keep(now_seen, kept, parts, reading.window):
                reading.problems.add("a later reading saw less than an earlier one: what was seen is kept")
            seen.update(now_seen)
        read = _summary(reading, seen, names, problems, ends)
        reads.append(read)
        if known.get(read.window) != read.digest:
            changed.append(read.window)
            for device_id, segments in seen.items():
                observed.setdefault(device_id, []).extend(segments)
    for span in merge(changed):
        stored = runs.observations(session, terms.id, span)
        wanted = {key: [s for s in segments if clip(s[:2], span)] for key, segments in observed.items()}
        runs.save_observations(session, terms.id, runs.splice_all(stored, wanted, span, list(names)), now)
        rederive(session, terms, span, now)
    readings.save(session, terms.id, reads, now)
    for read in reads:  # the next window began with something else, if it was read before this one
        if read.unlabelled != stored_ends.get(read.window[1], {}) and read.window[1] not in {
            start for start, _ in windows
        }:
            readings.forget(session, terms.id, (read.window[1], read.window[1] + 1), now)
    readings.note_failure(session, terms.id, "", now)
    return len(reads) - len(changed)


def _undoubted(
    before: Mapping[int, list[Segment]], reading: Reading, devices: Sequence[Device]
) -> Mapping[int, list[Segment]]:
    """What was known before, without idle time in which the exporter is now known not to have known holders."""
    if not before or not (doubts := doubted(reading)):
        return before
    found = dict(before)
    for device in devices:
        if device.key in doubts and device.id in found:
            said = found[device.id]
            idle = coverage.cut([one for one in said if one[2] == coverage.IDLE], doubts[device.key])
            found[device.id] = sorted(
                [*(one for one in said if one[2] != coverage.IDLE), *idle], key=lambda one: one[0]
            )
    return found


def _register(session: Session, terms: SourceTerms, batch: Batch, now: datetime) -> tuple[list[Device], list[str]]:
    """Tell the inventory what was seen. Returns the source's devices, and what is doubtful about them.

    Windows that were read before the inventory knew all of this are due again.
    """
    seen: dict[str, Sighting] = {}
    for reading, found in zip(batch.readings, batch.presence, strict=True):
        _add(seen, terms.name, reading, found)
    problems, stale = fleet.register(session, terms.name, list(seen.values()))
    for span in subtract(stale, [reading.window for reading in batch.readings]):
        readings.forget(session, terms.id, span, now)
    return fleet.devices(session, source=terms.name), problems


def _add(seen: dict[str, Sighting], source: str, reading: Reading, found: Presence) -> None:
    """The newest window says where a GPU is; all of them say when its devices were there."""
    for key, segments in found.items():
        one, first, last = reading.devices[key], segments[0][0], segments[-1][1]
        known = seen.get(key.uuid)
        if known is None:
            known = seen[key.uuid] = Sighting(key.uuid, one.model, one.host, one.instance)
        elif all(last >= end for spans in known.devices.values() for _, end in spans[-1:]):
            known.model, known.host, known.instance = one.model, one.host, one.instance
        spans = known.devices.setdefault(key, [])
        if key.is_whole:
            spans[:] = [(min(first, spans[0][0]), max(last, spans[0][1]))] if spans else [(first, last)]
        else:
            spans.extend((start, end) for start, end, _ in segments)
        for start, end, _ in segments:
            _extend(known.places, Place(start, end, source, one.host, one.instance))


def _extend(found: list[Place], place: Place) -> None:
    """Add a place behind the last one, or to it."""
    if found and found[-1].spot == place.spot and found[-1].end == place.start:
        found[-1] = found[-1]._replace(end=place.end)
    else:
        found.append(place)


def _summary(
    reading: Reading,
    seen: Mapping[int, Sequence[Segment]],
    names: Mapping[int, str],
    problems: Sequence[str],
    lost: dict[str, int],
) -> Read:
    seconds = dict.fromkeys(State, 0)
    parts: list[tuple[object, ...]] = []
    for device_id, segments in seen.items():
        name = names[device_id]
        for start, end, one in segments:
            seconds[one.state] += end - start
            parts.append((name, start, end, one.state.value, one.labels))
    parts += [("problem", line) for line in reading.problems]  # a problem that comes or goes is news
    parts += [("unlabelled", instance, since) for instance, since in lost.items()]
    status, reason = "complete", _reason({*problems, *reading.problems})
    if not seconds[State.PRESENT] and (seen or not reading.holders_only):
        status, reason = "empty", reason or "the source answered without a single device"
    elif seconds[State.BLIND] or seconds[State.MISSING]:
        status = "partial"
        reason = reason or f"{seconds[State.BLIND]} s blind, {seconds[State.MISSING]} s missing"
    return Read(
        reading.window,
        digest(parts),
        status,
        reason,
        reading.samples,
        seconds[State.PRESENT],
        seconds[State.MISSING],
        seconds[State.BLIND],
        lost,
    )


def _reason(problems: set[str]) -> str:
    """The first problems, and how many more there are."""
    shown = sorted(problems)[:PROBLEMS_SHOWN]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")

"""The window rule: from samples to spans, exactly once.

A sample at t covers (previous, t] when t - previous <= max_gap; otherwise it covers one nominal interval, and the rest is
a gap. `previous` is the device's previous sample under any label. Edges snap to whole seconds once, the same for both
neighbours, so that windows tile: what one window leaves out the next one takes in.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from billing.core.period import Seconds, clip, merge, subtract
from billing.fleet.gpu import Device, DeviceKey, overlaps
from billing.fleet.place import Place
from billing.metering.reading import Cadence, Reading, Run


class State(StrEnum):
    """Three states, never mixed up: there (perhaps idle), gone while the exporter answers, or nobody could see."""

    PRESENT = "present"
    MISSING = "missing"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is said about a device during a span. `labels` are sorted; none means idle, two mean a dispute.

    `source` says it, where that matters; `others` are the (source, label) that other sources saw there at the same time.
    """

    state: State
    labels: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""
    others: tuple[tuple[str, str], ...] = ()


IDLE = Seen(State.PRESENT)
GONE = Seen(State.MISSING, reason="the exporter answered without this device")
UNSEEN = Seen(State.BLIND, reason="no answer from the exporter")
SUSPECT = Seen(State.BLIND, reason="the labels of the whole host had vanished")
SEATLESS = Seen(State.BLIND, reason="an instance of it was there that has no seat")

Segment = tuple[int, int, Seen]


def covered(runs: Sequence[Run], cadence: Cadence) -> list[tuple[int, int, tuple[str, ...]]]:
    """(start, end, labels) in whole seconds that each run covers. Runs are in order."""
    spans = []
    previous: int | None = None
    for run in runs:
        near = previous is not None and run.first_ms - previous <= cadence.max_gap_ms
        start = previous if near and previous is not None else run.first_ms - cadence.interval_ms
        spans.append((start // 1000, run.last_ms // 1000, run.labels))
        previous = run.last_ms
    return [span for span in spans if span[0] < span[1]]


def present(runs: Sequence[Run], window: Seconds, cadence: Cadence) -> list[Segment]:
    """The window's spans in which a device was there, cut where its labels change."""
    if len(runs) == 1:  # nearly always one run, from before the window until after it
        (first_ms, last_ms, labels) = runs[0]
        if (first_ms - cadence.interval_ms) // 1000 <= window[0] < window[1] <= last_ms // 1000:
            return [(*window, Seen(State.PRESENT, labels))]
    spans = ((clip((start, end), window), labels) for start, end, labels in covered(runs, cadence))
    return join((*span, Seen(State.PRESENT, labels)) for span, labels in spans if span is not None)


def join(segments: Iterable[Segment]) -> list[Segment]:
    """Merge neighbours that say the same. Segments come in order and do not overlap."""
    joined: list[Segment] = []
    for start, end, seen in segments:
        if joined and joined[-1][1] == start and joined[-1][2] == seen:
            joined[-1] = (joined[-1][0], end, seen)
        else:
            joined.append((start, end, seen))
    return joined


def cut(segments: Sequence[Segment], holes: Sequence[Seconds]) -> list[Segment]:
    """The segments without what the holes cover."""
    return [(start, end, seen) for s, e, seen in segments for start, end in subtract([(s, e)], holes)]


def presence(reading: Reading, cadence: Cadence) -> dict[DeviceKey, list[Segment]]:
    """When each device of a reading was present, within its window."""
    found = {key: present(seen.runs, reading.window, cadence) for key, seen in reading.devices.items()}
    return {key: segments for key, segments in found.items() if segments}


def seatless(found: Mapping[DeviceKey, list[Segment]], known: Set[DeviceKey]) -> dict[str, list[Seconds]]:
    """When instances were present that the inventory has no room for, by the UUID of their GPU."""
    spans: dict[str, list[Seconds]] = {}
    for key in found.keys() - known:
        spans.setdefault(key.uuid, []).extend((start, end) for start, end, _ in found[key])
    return {uuid: merge(parts) for uuid, parts in spans.items()}


@dataclass(frozen=True, slots=True)
class Absence:
    """What a source knows of GPUs that it does not see: when its exporters answered, and for which time its word counts.

    `answering` is by instance; `homes` by GPU id, as `billing.fleet.place.homes` tells them; `seatless` is when instances of
    a GPU, by its UUID, were there that have no seat on it; `suspected`, by instance, is blindness that nobody can prove.
    """

    source: str
    answering: Mapping[str, Sequence[Seconds]]
    homes: Mapping[int, Sequence[tuple[int, int, Place]]]
    seatless: Mapping[str, Sequence[Seconds]] = field(default_factory=dict)
    suspected: Mapping[str, Sequence[Seconds]] = field(default_factory=dict)


def observe(
    found: Mapping[DeviceKey, list[Segment]],
    devices: Sequence[Device],
    absence: Absence,
    window: Seconds,
) -> dict[int, list[Segment]]:
    """What is said about every device of one GPU, by device id, over its in-service part of the window. Nothing is left out
    of the time for which the source's word counts when nobody sees the GPU.

    While an instance is present the whole GPU is not; of two devices on the same slots the one that came first keeps
    them. Time in which no device was present is missing or blind, and is recorded on the whole device.
    `devices` are those of one GPU, the whole one first.
    """
    whole = devices[0]
    served = clip(whole.in_service, window)
    if served is None:
        return {}
    if len(devices) == 1 and (seen := found.get(whole.key)) and _fills(seen, served):  # nearly always
        return {whole.id: [segment for segment in seen if clip(segment[:2], served)]}
    observed: dict[int, list[Segment]] = {}
    taken: list[tuple[tuple[int, int], list[Seconds]]] = []
    rows: dict[DeviceKey, list[Device]] = {}
    for one in reversed(devices):  # ids of instances are reused: the newest device of a key comes first
        if one.key in found:
            rows.setdefault(one.key, []).append(one)
    # Those that can only be in one place are placed first, then those that came first.
    for key in sorted(rows, key=lambda key: (key.is_whole, len(rows[key]), found[key][0][0], rows[key][0].id)):
        device = next((one for one in rows[key] if _is_free(one, found[key], taken)), rows[key][0])
        holes = [span for seat, spans in taken if overlaps(seat, device.seat) for span in spans]
        segments = cut([(s, e, seen) for s, e, seen in found[device.key] if clip((s, e), served)], holes)
        if segments:
            taken.append((device.seat, [(s, e) for s, e, _ in segments]))
            observed[device.id] = segments
    nobody = subtract([served], [span for _, spans in taken for span in spans])
    rest: list[Segment] = []
    for start, end, place in absence.homes.get(whole.gpu_id, ()):
        if place.source != absence.source:
            continue
        away = [span for one in nobody if (span := clip(one, (start, end)))]
        known = subtract(away, absence.seatless.get(whole.key.uuid, ()))
        unseen = subtract(known, absence.answering.get(place.instance, ()))
        proven = subtract(unseen, absence.suspected.get(place.instance, ()))
        rest += [(s, e, UNSEEN) for s, e in proven] + [(s, e, SUSPECT) for s, e in subtract(unseen, proven)]
        rest += [(s, e, GONE) for s, e in subtract(known, unseen)]
        rest += [(s, e, SEATLESS) for s, e in subtract(away, known)]
    if rest:
        observed[whole.id] = join(sorted(observed.get(whole.id, []) + rest, key=lambda one: one[0]))
    return observed


def _is_free(
    device: Device, segments: Sequence[Segment], taken: Sequence[tuple[tuple[int, int], list[Seconds]]]
) -> bool:
    """Is nobody else on the device's slots while it was seen? Under another partition the same key had other slots."""
    return not any(
        overlaps(seat, device.seat)
        and any(overlaps(span, (start, end)) for span in spans for start, end, _ in segments)
        for seat, spans in taken
    )


def keep(
    observed: dict[int, list[Segment]],
    before: Mapping[int, Sequence[Segment]],
    devices: Sequence[Device],
    window: Seconds,
) -> bool:
    """Add to what is said about the devices of one GPU the presence that was known before and is not seen now. True when there
    was some: a server that lost its samples must not undo what they proved.

    A device that is seen now on the same slots says more than the one that was seen before; so does the same instance, that
    sits elsewhere now.
    """
    served = clip(devices[0].in_service, window)
    if served is None:
        return False
    seen = {
        device.id: [(s, e) for s, e, one in observed.get(device.id, ()) if one.state is State.PRESENT]
        for device in devices
    }
    kept: list[Seconds] = []
    for device in devices:
        taken = [
            span
            for other in devices
            if overlaps(other.seat, device.seat) or other.key == device.key
            for span in seen[other.id]
        ]
        known = [
            (span[0], span[1], one)
            for start, end, one in before.get(device.id, ())
            if one.state is State.PRESENT and (span := clip((start, end), served))
        ]
        lost = cut(known, taken) if known else []
        if lost:
            kept += [(start, end) for start, end, _ in lost]
            observed[device.id] = join(sorted([*observed.get(device.id, ()), *lost], key=lambda one: one[0]))
    if kept:
        whole = devices[0].id
        said = observed.get(whole, [])
        gone = cut([one for one in said if one[2].state is not State.PRESENT], kept)
        there = [one for one in said if one[2].state is State.PRESENT]
        observed[whole] = join(sorted([*there, *gone], key=lambda one: one[0]))
        if not observed[whole]:
            del observed[whole]
    return bool(kept)


def _fills(segments: Sequence[Segment], span: Seconds) -> bool:
    """Do they cover the whole span?"""
    whole = segments[0][0] <= span[0] and span[1] <= segments[-1][1]
    return whole and all(one[1] == following[0] for one, following in pairwise(segments))


def answering(reading: Reading, cadence: Cadence) -> dict[str, list[Seconds]]:
    """When each exporter answered, as merged spans."""
    return {
        instance: merge((start, end) for start, end, _ in covered(runs, cadence))
        for instance, runs in reading.answering.items()
    }

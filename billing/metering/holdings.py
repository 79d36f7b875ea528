"""Readings of sources that know from when to when, and how many: exact spans, and GPUs that are numbered instead of named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from billing.core.period import Seconds, at_second, clip, rfc3339, subtract
from billing.fleet.gpu import SLICES, DeviceKey, parts_of, slices
from billing.metering.placement import Placement
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run

EXACT: Final = Cadence(1000, 1000)
"""A sample for every second: what it covers is exactly what was said, to the second."""

COMPUTE_SLICES: Final = 7
_PLAIN: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,252}")
_PROFILE: Final = re.compile(r"(\d)g\.\d+gb.*")


class Pool(NamedTuple):
    """The GPUs of one kind on one node: interchangeable. `kind` is part of their names; empty where nobody tells.

    With a `profile`, the MIG instances of that profile, or the shares, on all GPUs of the node.
    """

    node: str
    kind: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a pool: the model of its GPUs, how many there are, and when how many of them were seen.

    `seen` are spans that do not overlap, with a count; GPUs that a claim holds are there in any case.
    """

    model: str
    size: int
    seen: Sequence[tuple[int, int, int]] = ()
    instance: str = ""


@dataclass(slots=True)
class Holding:
    """A device, and who held it when: (start, end, labels) in order. `present` is when it was there."""

    model: str
    host: str
    instance: str
    held: Sequence[tuple[int, int, tuple[str, ...]]] = ()
    present: list[Seconds] = field(default_factory=list)


def is_plain(text: str) -> bool:
    """Printable ASCII, not too long: fit to be a label or a name."""
    return _PLAIN.fullmatch(text) is not None


def margin(window: Seconds) -> Seconds:
    """What a reading at the exact cadence says something about: the window and a second on both sides."""
    return window[0] - 1, window[1] + 1


def reading_of(
    window: Seconds, holdings: Mapping[DeviceKey, Holding], answering: Mapping[str, Sequence[Seconds]]
) -> Reading:
    """A reading at the exact cadence. Time in which a device is present and nobody holds it is idle."""
    reading, wide = Reading(window, holders_only=True), margin(window)
    for key, one in holdings.items():
        idle = subtract(one.present, [(start, end) for start, end, _ in one.held])
        spans = sorted([*one.held, *((start, end, ()) for start, end in idle)])
        runs = [_run(cut, labels) for start, end, labels in spans if (cut := clip((start, end), wide))]
        if runs:
            reading.devices[key] = DeviceRuns(one.model, one.host, one.instance, runs)
    for instance, seen in answering.items():
        reading.answering[instance] = [_run(cut, ()) for span in seen if (cut := clip(span, wide))]
    return reading


def _run(span: Seconds, labels: tuple[str, ...]) -> Run:
    return Run((span[0] + 1) * 1000, span[1] * 1000, labels)


def holdings_of(source: str, placed: Placement[Pool], pools: Mapping[Pool, Known]) -> dict[DeviceKey, Holding]:
    """The devices of all pools, with stable names: `<source>/<node>/<kind>/<number>`."""
    by_node: dict[str, list[Pool]] = {}
    for pool in pools:
        by_node.setdefault(pool.node, []).append(pool)
    found: dict[DeviceKey, Holding] = {}
    for node, theirs in by_node.items():
        keys = _keys(source, {pool: pools[pool] for pool in sorted(theirs)})
        for pool in theirs:
            known = pools[pool]
            for number, key in enumerate(keys[pool]):
                held = [(start, end, (label,)) for start, end, label in placed.held.get((pool, number), ())]
                present = [(start, end) for start, end, count in known.seen if number < count]
                found[key] = Holding(known.model, node, known.instance or source, held, present)
    return found


def _keys(source: str, pools: Mapping[Pool, Known]) -> dict[Pool, list[DeviceKey]]:
    """Names for the devices of one node. Shares of a GPU carry their number on it; MIG instances are packed into as few GPUs
    as hold them, the largest first."""
    keys: dict[Pool, list[DeviceKey]] = {}
    parents: dict[tuple[str, str], list[tuple[int, int]]] = {}
    """Packed GPUs by kind and model: memory and compute slices that are taken."""

    def size(pool: Pool) -> int:
        return slices(pool.profile, pools[pool].model)

    for pool in sorted(pools, key=lambda pool: (-size(pool), pool)):
        known = pools[pool]
        stem = "/".join(part for part in (source, pool.node, pool.kind) if part)
        if not pool.profile:
            keys[pool] = [DeviceKey(f"{stem}/{number}") for number in range(known.size)]
            continue
        if parts := parts_of(pool.profile):
            keys[pool] = [
                DeviceKey(f"{stem}/shared{number // parts}", str(number % parts), pool.profile)
                for number in range(known.size)
            ]
            continue
        match = _PROFILE.fullmatch(pool.profile)
        need = (size(pool), int(match.group(1)) if match else COMPUTE_SLICES)
        packed = parents.setdefault((pool.kind, known.model), [])
        keys[pool] = []
        for number in range(known.size):
            parent = _fit(packed, need)
            keys[pool].append(
                DeviceKey(f"{stem}/mig{parent}", f"{pool.profile.partition('.')[0]}-{number}", pool.profile)
            )
    return keys


def _fit(packed: list[tuple[int, int]], need: tuple[int, int]) -> int:
    for number, (memory, compute) in enumerate(packed):
        if memory + need[0] <= SLICES and compute + need[1] <= COMPUTE_SLICES:
            packed[number] = (memory + need[0], compute + need[1])
            return number
    packed.append(need)
    return len(packed) - 1


def unplaced_lines(placed: Placement[Pool], window: Seconds, what: str) -> Iterable[str]:
    """One line for every claim that found no room within the window. `what` is a job or a pod."""
    for claim, span, count in placed.unplaced:
        cut = clip(span, window)
        if cut is not None:
            nodes = ",".join(sorted({pool.node for pool in claim.pools})[:3])
            since, until = (rfc3339(at_second(at)) for at in cut)
            yield f"{what} {claim.key} holds {count} GPUs more than {nodes} has, not billed, {since} to {until}"

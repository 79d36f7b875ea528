"""What all sources together say about one GPU. They may see it at the same time, or one after the other: GPUs move."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from billing.fleet.gpu import Device, overlaps
from billing.fleet.place import Place
from billing.metering.coverage import Seen, Segment, State, join

View = Mapping[int, Sequence[Segment]]
"""What one source says, by device id."""


def combined(
    views: Mapping[str, View], homes: Sequence[tuple[int, int, Place]], devices: Sequence[Device]
) -> dict[int, list[Segment]]:
    """One account of a GPU: segments by device id that name the source they are from.

    To see beats not to see, and a label beats none; of equals the source that was configured first counts (`views` are in
    that order). What the others see under labels at that moment is kept beside it, so that two holders are a dispute.
    That nobody sees the GPU is taken from the source in whose place it was last: any other one had nothing to look for.
    """
    if len(views) == 1 and all(place.source in views for _, _, place in homes):
        return {device_id: list(segments) for view in views.values() for device_id, segments in view.items()}
    if not views:
        return {}
    edges = {edge for start, end, _ in homes for edge in (start, end)}
    for view in views.values():
        edges.update(edge for segments in view.values() for start, end, _ in segments for edge in (start, end))
    seats = {device.id: device.seat for device in devices}
    starts = {
        source: {device_id: [start for start, _, _ in segments] for device_id, segments in view.items()}
        for source, view in views.items()
    }
    whose = [start for start, _, _ in homes]
    found: dict[int, list[Segment]] = {}
    for lo, hi in pairwise(sorted(edges)):
        said = {source: _at(view, starts[source], lo) for source, view in views.items()}
        there = {source: _present(seen) for source, seen in said.items()}
        best = max(there, key=lambda source: (any(one.labels for one in there[source].values()), bool(there[source])))
        for device_id, its in there[best].items():
            beside = [
                one
                for source, devices_seen in there.items()
                if source != best
                for other, one in devices_seen.items()
                if one.labels and overlaps(seats[other], seats[device_id])
            ]
            # of a part without a label another source may know the holder
            seen = replace(beside[0], others=()) if beside and not its.labels else its
            others = {(one.source, label) for one in beside if one.source != seen.source for label in one.labels}
            found.setdefault(device_id, []).append((lo, hi, replace(seen, others=tuple(sorted(others)))))
        if not there[best]:
            home = homes[max(0, bisect_right(whose, lo) - 1)][2].source if homes else ""
            for device_id, seen in said.get(home, {}).items():
                found.setdefault(device_id, []).append((lo, hi, seen))
    return {device_id: join(segments) for device_id, segments in found.items()}


def _at(view: View, starts: Mapping[int, Sequence[int]], at: int) -> dict[int, Seen]:
    found = {}
    for device_id, segments in view.items():
        start, end, seen = segments[bisect_right(starts[device_id], at) - 1]
        if start <= at < end:
            found[device_id] = seen
    return found


def _present(seen: Mapping[int, Seen]) -> dict[int, Seen]:
    return {device_id: one for device_id, one in seen.items() if one.state is State.PRESENT}

"""Where GPUs were: which source saw them when, on which host, through which exporter. GPUs move; so do exporters."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from billing.core.period import Seconds, subtract


class Place(NamedTuple):
    """A GPU was seen from `start` to `end` (epoch seconds) by a source, on a host, through an exporter (`instance`)."""

    start: int
    end: int
    source: str
    host: str
    instance: str

    @property
    def span(self) -> Seconds:
        return self.start, self.end

    @property
    def spot(self) -> tuple[str, str, str]:
        return self.source, self.host, self.instance


def joined(places: Iterable[Place]) -> list[Place]:
    """The places of one source as few as possible: equal neighbours are one. Where they overlap, later ones in the list
    count."""
    kept: list[Place] = []
    for place in places:
        kept = [
            one._replace(start=start, end=end)
            for one in kept
            for start, end in (subtract([one.span], [place.span]) if one.spot != place.spot else [one.span])
        ]
        kept.append(place)
    found: list[Place] = []
    for place in sorted(kept):
        if found and found[-1].spot == place.spot and place.start <= found[-1].end:
            found[-1] = found[-1]._replace(end=max(found[-1].end, place.end))
        else:
            found.append(place)
    return found


def homes(places: Sequence[Place], window: Seconds) -> list[tuple[int, int, Place]]:
    """Whose word says what became of a GPU while nobody sees it: (start, end, place), which tile the window.

    It is the place where the GPU was seen last, and before its first sight the first one. This depends on the places alone,
    not on the order in which they were learnt.
    """
    if not places:
        return []
    steps: list[tuple[int, Place]] = []
    for place in sorted(places, key=lambda one: (one.start, -one.end, one.spot)):
        if not steps or (place.end, steps[-1][1].spot) > (steps[-1][1].end, place.spot):
            steps.append((place.start if steps else window[0], place))
    found: list[tuple[int, int, Place]] = []
    for number, (since, place) in enumerate(steps):
        until = steps[number + 1][0] if number + 1 < len(steps) else window[1]
        start, end = max(since, window[0]), min(until, window[1])
        if start < end:
            found.append((start, end, place))
    return found

"""What several sources say about one GPU becomes one account of it, second by second."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.fleet.gpu import SLOTS, Device, DeviceKey, gpu_seat, overlaps
from billing.fleet.place import Place
from billing.metering.coverage import GONE, IDLE, UNSEEN, Seen, Segment, State, join
from billing.metering.views import combined

WINDOW = (0, 60)
SEAT = gpu_seat(1)
DEVICES = [
    Device(1, DeviceKey("G"), 1, SEAT, "m", "n1", "i", "a", (0, 10**9)),
    Device(2, DeviceKey("G", "7", "3g"), 1, (SEAT[0], SEAT[0] + SLOTS // 2), "m", "n1", "i", "a", (0, 10**9)),
    Device(3, DeviceKey("G", "8", "3g"), 1, (SEAT[0] + SLOTS // 2, SEAT[1]), "m", "n1", "i", "a", (0, 10**9)),
]
PRESENT = [IDLE, Seen(State.PRESENT, ("x",)), Seen(State.PRESENT, ("y",))]


@st.composite
def view(draw: st.DrawFn, source: str) -> dict[int, list[Segment]]:
    """What one source says: at each moment the whole GPU, its instances, that it is away, or nothing."""
    edges = sorted({*WINDOW, *draw(st.sets(st.integers(1, 59), max_size=4))})
    found: dict[int, list[Segment]] = {}
    for start, end in pairwise(edges):
        kind = draw(st.sampled_from(["whole", "parts", "away", "nothing"]))
        said = {
            "whole": {1: draw(st.sampled_from(PRESENT))},
            "parts": {2: draw(st.sampled_from(PRESENT)), 3: draw(st.sampled_from(PRESENT))},
            "away": {1: draw(st.sampled_from([GONE, UNSEEN]))},
            "nothing": {},
        }[kind]
        for device_id, seen in said.items():
            named = Seen(seen.state, seen.labels, seen.reason, source)
            found.setdefault(device_id, []).append((start, end, named))
    return {device_id: join(segments) for device_id, segments in found.items()}


def at(views: dict[int, list[Segment]], second: int) -> dict[int, Seen]:
    return {device: seen for device, rows in views.items() for start, end, seen in rows if start <= second < end}


@given(view("a"), view("b"), st.integers(0, 60))
@settings(max_examples=300)
def test_somebody_who_sees_beats_whoever_does_not(
    a: dict[int, list[Segment]], b: dict[int, list[Segment]], moved: int
) -> None:
    homes = [(0, moved, Place(-9, 0, "a", "n1", "i")), (moved, 60, Place(moved, moved + 1, "b", "n2", "j"))]
    views = {source: one for source, one in (("a", a), ("b", b)) if one}
    result = combined(views, [home for home in homes if home[0] < home[1]], DEVICES)
    for second in range(*WINDOW):
        said, now = {"a": at(a, second), "b": at(b, second)}, at(result, second)
        there = [seen for one in said.values() for seen in one.values() if seen.state is State.PRESENT]
        if there:
            assert all(seen.state is State.PRESENT for seen in now.values()) and now
            assert any(seen.labels for seen in now.values()) == any(seen.labels for seen in there)
            assert not (1 in now and len(now) > 1), "whole and parts are the same slots"
            for device, seen in now.items():
                source = seen.source
                strange = {
                    (other, label)
                    for other, one in said.items()
                    if other != source
                    for key, its in one.items()
                    if its.state is State.PRESENT and overlaps(DEVICES[key - 1].seat, DEVICES[device - 1].seat)
                    for label in its.labels
                }
                assert set(seen.others) == strange
                assert seen.labels or not strange
        else:
            home = "a" if second < moved else "b"
            assert now == said[home], "that it is away is its last place's to say"

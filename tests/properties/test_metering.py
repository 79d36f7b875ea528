"""Metering's invariants, against plain re-implementations that look at every second."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.period import Seconds, clip, merge, subtract
from billing.fleet.gpu import SLOTS, Device, DeviceKey, Sighting, gpu_seat, overlaps, seat_instances
from billing.fleet.place import Place
from billing.metering.conservation import Ledger, account
from billing.metering.coverage import IDLE, Absence, Seen, Segment, State, join, observe, present
from billing.metering.reading import Cadence, Run, runs_of
from billing.metering.runs import Row, splice
from billing.metering.usage import Evidence, Excluded, ExclusionRule, Held, Labels, Terms, derive
from billing.tenants.tenant import Claim

CADENCE = Cadence(interval_ms=15_000, max_gap_ms=40_000)
HORIZON = 1200
HOME = Place(0, 1, "s", "n1", "n1:9400")


def runs_from(series: list[tuple[int, str]]) -> list[Run]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for at, label in series:
        by_label[label].append(at)
    return runs_of(by_label, CADENCE.max_gap_ms) if series else []


def by_second(segments: list[Segment]) -> dict[int, Seen]:
    return {second: seen for start, end, seen in segments for second in range(start, end)}


@st.composite
def phases(draw: st.DrawFn) -> list[tuple[int, str]]:
    """Samples of one exporter: regular with jitter, pauses now and then, the label changing between samples."""
    at, label, series = draw(st.integers(0, 30_000)), "", []
    for _ in range(draw(st.integers(0, 50))):
        series.append((at, label))
        at += draw(st.sampled_from([14_800, 15_000, 15_211, 30_000, 39_999, 40_000, 40_001, 90_000]))
        label = draw(st.sampled_from([label, label, label, "", "a", "b"]))
    return series


@given(phases())
def test_a_sample_covers_back_to_the_previous_one_or_one_interval(series: list[tuple[int, str]]) -> None:
    wanted: dict[int, Seen] = {}
    previous = None
    for at, label in series:
        near = previous is not None and at - previous <= CADENCE.max_gap_ms
        start = previous if near and previous is not None else at - CADENCE.interval_ms
        for second in range(start // 1000, at // 1000):
            wanted[second] = Seen(State.PRESENT, (label,)) if label else IDLE
        previous = at
    got = by_second(present(runs_from(series), (0, HORIZON), CADENCE))
    assert got == {second: seen for second, seen in wanted.items() if 0 <= second < HORIZON}


@given(phases(), st.integers(0, 15_000))
def test_a_second_replica_changes_no_second(series: list[tuple[int, str]], offset: int) -> None:
    """An HA pair that scrapes at other instants and sees the same label bills every second once, under that label."""
    pair = sorted({at for at, _ in series} | {at + offset for at, _ in series})
    alone = by_second(present(runs_of({"a": [at for at, _ in series]}, CADENCE.max_gap_ms), (0, HORIZON), CADENCE))
    both = by_second(present(runs_of({"a": pair}, CADENCE.max_gap_ms), (0, HORIZON), CADENCE))
    assert alone.keys() <= both.keys()
    steady = all(b - a <= CADENCE.max_gap_ms for a, b in pairwise([at for at, _ in series]))
    if steady and series:
        extra = both.keys() - alone.keys()
        assert all(second >= series[-1][0] // 1000 for second in extra), "only the offset after the last sample is new"


@given(phases())
def test_two_labels_at_one_instant_are_both_kept(series: list[tuple[int, str]]) -> None:
    times = [at for at, _ in series]
    segments = present(runs_of({"a": times, "b": times}, CADENCE.max_gap_ms), (0, HORIZON), CADENCE)
    alone = present(runs_of({"a": times}, CADENCE.max_gap_ms), (0, HORIZON), CADENCE)
    assert [(s, e, ("a", "b")) for s, e, _ in alone] == [(s, e, seen.labels) for s, e, seen in segments]


@given(phases(), st.lists(st.integers(1, HORIZON - 1), max_size=6, unique=True).map(sorted))
def test_windows_tile(series: list[tuple[int, str]], cuts: list[int]) -> None:
    edges = [0, *cuts, HORIZON]
    whole = by_second(present(runs_from(series), (0, HORIZON), CADENCE))
    tiled: dict[int, Seen] = {}
    for start, end in pairwise(edges):
        lo, hi = start * 1000 - CADENCE.max_gap_ms, end * 1000 + CADENCE.max_gap_ms
        near = [sample for sample in series if lo < sample[0] <= hi]
        part = by_second(present(runs_from(near), (start, end), CADENCE))
        assert all(start <= second < end for second in part)
        tiled |= part
    assert tiled == whole


values = st.sampled_from("xyz")


@st.composite
def tilings(draw: st.DrawFn, window: Seconds) -> list[tuple[int, int, str]]:
    edges = sorted(draw(st.sets(st.integers(window[0], window[1]), max_size=6)) | {window[0], window[1]})
    return [(a, b, draw(values)) for a, b in pairwise(edges) if draw(st.booleans())]


@given(st.data())
def test_splices_in_any_order_and_number_end_in_the_same_runs(data: st.DataObject) -> None:
    """Windows are written in any order, some twice; the stored runs say the same as the last word on each second."""
    cuts = data.draw(st.lists(st.integers(1, 99), max_size=3))
    rows: dict[int, Row[str]] = {}
    truth: dict[int, str] = {}
    next_id = 0
    for _ in range(data.draw(st.integers(1, 6))):
        window = data.draw(
            st.tuples(st.integers(0, 9), st.integers(1, 3)).map(lambda p: (p[0] * 10, (p[0] + p[1]) * 10))
        )
        segments = data.draw(tilings(window))
        touching = [row for row in rows.values() if row.start <= window[1] and row.end >= window[0]]
        change = splice(touching, window, segments, cuts)
        for row_id in change.drop:
            del rows[row_id]
        for row_id, end in change.grow:
            assert end > rows[row_id].end
            rows[row_id] = Row(row_id, rows[row_id].start, end, rows[row_id].value)
        for start, end, value in change.add:
            rows[next_id] = Row(next_id, start, end, value)
            next_id += 1
        truth = {s: v for s, v in truth.items() if not window[0] <= s < window[1]}
        truth |= {s: v for a, b, v in segments for s in range(a, b)}
        stored = [(s, row.value) for row in rows.values() for s in range(row.start, row.end)]
        assert len(stored) == len(dict(stored)), "two rows on one second"
        assert dict(stored) == truth
        assert not splice(
            [row for row in rows.values() if row.start <= window[1] and row.end >= window[0]], window, segments, cuts
        ), "the same window again changes nothing"
        for row in rows.values():
            assert not any(row.start < cut < row.end for cut in cuts), "a row crosses the end of a month"


def device(device_id: int, key: DeviceKey, seat: tuple[int, int], in_service: Seconds) -> Device:
    return Device(device_id, key, 1, seat, "NVIDIA H100 80GB HBM3", "n1", "n1:9400", "s", in_service)


SERVICE = (20, 90)
WHOLE = DeviceKey("GPU-1")
INSTANCES = [DeviceKey("GPU-1", "1", "3g.40gb"), DeviceKey("GPU-1", "5", "3g.40gb"), DeviceKey("GPU-1", "9", "1g.10gb")]
DEVICES = [
    device(1, WHOLE, gpu_seat(1), SERVICE),
    device(2, INSTANCES[0], (840, 1260), SERVICE),
    device(3, INSTANCES[1], (1260, 1680), SERVICE),
    device(4, INSTANCES[2], (840, 945), SERVICE),  # of another partition: it shares slots with device 2
]


@st.composite
def segments_in(draw: st.DrawFn, window: Seconds) -> list[Segment]:
    edges = sorted(draw(st.sets(st.integers(window[0], window[1]), max_size=6)) | set(window))
    states = st.sampled_from(
        [IDLE, Seen(State.PRESENT, ("a",)), Seen(State.PRESENT, ("b",)), Seen(State.PRESENT, ("a", "u"))]
    )
    return join((a, b, draw(states)) for a, b in pairwise(edges) if draw(st.booleans()))


spans = st.tuples(st.integers(0, 90), st.integers(1, 60)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.data())
@settings(max_examples=300)
def test_every_generated_gpu_is_conserved_and_no_slot_is_billed_twice(data: st.DataObject) -> None:
    """Whatever was seen, leased, excluded or claimed: the categories add up to the GPU's whole time."""
    window = (0, 100)
    found = {}
    for one in DEVICES:
        segments = data.draw(segments_in(window))
        if segments:
            found[one.key] = segments
    up = merge(data.draw(st.lists(spans, max_size=4)))
    observed = observe(found, DEVICES, Absence("s", {"n1:9400": up}, {1: [(*window, HOME)]}), window)
    leases, last = [], 0
    for number in range(data.draw(st.integers(0, 2))):
        start = data.draw(st.integers(last, last + 40))
        last = data.draw(st.integers(start + 1, start + 60))
        leases.append(Held(number + 1, tenant_id=9, span=(start, last)))
    decided = [(a, b, Excluded("maintenance", "operator")) for a, b in merge(data.draw(st.lists(spans, max_size=2)))]
    labels = Labels([Claim(1, "", "a", data.draw(spans)), Claim(2, "s", "b", (0, 10**9))], billable=[1, 2, 9])
    rule = ExclusionRule(data.draw(st.booleans()), minimum_seconds=7)
    derived = derive(Evidence(DEVICES, observed, leases, decided), window, Terms(1, labels, rule))

    seats = {one.id: one.seat for one in DEVICES}
    billed = [(seats[d], (s, e)) for d, rows in derived.usage.items() for s, e, _ in rows]
    for i, (seat, span) in enumerate(billed):
        for other_seat, other_span in billed[i + 1 :]:
            assert not (overlaps(seat, other_seat) and overlaps(span, other_span)), "two payers for one slot-second"
    for held in leases:
        paid = [(s, e) for rows in derived.usage.values() for s, e, payer in rows if payer.lease_id == held.lease_id]
        excluded = [(s, e) for s, e, _ in [*derived.exclusions, *decided]]
        served = clip(held.span, SERVICE)
        assert paid == subtract([served] if served else [], excluded), (
            "leased time in service is billed but for exclusions"
        )

    exclusions = [*derived.exclusions, *decided]
    result = account(Ledger(DEVICES, observed, derived.usage, leases, exclusions), (20, 100), labels)
    assert result.whole == 70 * SLOTS
    assert result.difference == 0, result.slot_seconds


@given(
    st.lists(
        st.tuples(st.sampled_from(["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]), spans),
        max_size=9,
    )
)
def test_instances_present_at_once_never_share_a_slot(instances: list[tuple[str, Seconds]]) -> None:
    sighting = Sighting("GPU-1", "NVIDIA H100 80GB HBM3", "n1", "n1:9400")
    for number, (profile, span) in enumerate(instances):
        sighting.devices[DeviceKey("GPU-1", str(number), profile)] = [span]
    seating = seat_instances(1, sighting, DEVICES[:1])
    seats = {**{key: one.seat for key, one in seating.known.items()}, **seating.new}
    assert set(seats) | set(seating.unseated) == set(sighting.devices)
    for key, seat in seats.items():
        assert gpu_seat(1)[0] <= seat[0] < seat[1] <= gpu_seat(1)[1]
        for other, other_seat in seats.items():
            if key != other and overlaps(seat, other_seat):
                assert not overlaps(sighting.devices[key][0], sighting.devices[other][0])

"""Seats: a MIG instance takes its memory slices, and no two that are there at the same time share a slot."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.fleet.gpu import (
    SLICES,
    SLOTS,
    Device,
    DeviceKey,
    Sighting,
    free_seat,
    gpu_seat,
    overlaps,
    parts_of,
    seat_instances,
    share_profile,
    slices,
    slices_min,
    slots,
)

H100 = "NVIDIA H100 80GB HBM3"
PROFILES = ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")


@pytest.mark.parametrize(
    ("profile", "model", "taken"),
    [
        ("1g.10gb", H100, 1), ("1g.20gb", H100, 2), ("2g.20gb", H100, 2), ("3g.40gb", H100, 4), ("4g.40gb", H100, 4),
        ("7g.80gb", H100, 8), ("1g.10gb+me", H100, 1), ("1g.5gb", "NVIDIA A100-SXM4-40GB", 1),
        ("3g.20gb", "NVIDIA A100-SXM4-40GB", 4), ("1g.6gb", "NVIDIA A30", 2), ("1g.18gb", "NVIDIA H200", 1),
        ("1g.23gb", "NVIDIA B200", 1), ("2g.10gb", "a model of tomorrow", 2), ("7g.1gb", "a model of tomorrow", 8),
        ("1g.18gb", "NVIDIA GH200 144G HBM3e", 1), ("1g.36gb", "NVIDIA GH200 144G HBM3e", 2),
        ("2g.36gb", "NVIDIA GH200 144G HBM3e", 2), ("3g.72gb", "NVIDIA GH200 144G HBM3e", 4),
        ("7g.144gb", "NVIDIA GH200 144G HBM3e", 8), ("1g.12gb", "NVIDIA GH200 480GB", 1),
        ("1g.24gb", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 2),
        ("4g.96gb", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 8),
        ("3g.90gb", H100, 4), ("1g.60gb", H100, 1), ("7g.40gb", H100, 8),
        ("", H100, 8), ("nonsense", H100, 8), ("5g.10gb", "a model of tomorrow", 8),
    ],
)  # fmt: skip
def test_a_profile_takes_its_memory_and_an_unknown_one_everything(profile: str, model: str, taken: int) -> None:
    assert slices(profile, model) == taken


def test_the_slots_of_two_gpus_never_meet() -> None:
    assert gpu_seat(4) == (3360, 4200) and slots(gpu_seat(4)) == SLOTS == 840
    assert not overlaps(gpu_seat(4), gpu_seat(5)), "seats are half-open"


def test_a_full_gpu_has_no_free_seat() -> None:
    assert free_seat(1, 420, []) == (840, 1260)
    assert free_seat(1, 420, [(840, 1260)]) == (1260, 1680)
    assert free_seat(1, 420, [(840, 945), (1575, 1680)]) is None, "aligned places only: both halves are touched"
    assert free_seat(1, 840, [(840, 841)]) is None


spans = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda one: (one[0], one[0] + one[1]))
instances = st.dictionaries(
    st.builds(DeviceKey, st.just("GPU-1"), st.integers(0, 13).map(str), st.sampled_from(PROFILES)),
    st.lists(spans, min_size=1, max_size=3),
    max_size=9,
)


@given(first=instances, second=instances)
def test_who_is_there_at_the_same_time_never_shares_a_slot_and_a_known_device_keeps_its_seat(
    first: dict[DeviceKey, list[tuple[int, int]]], second: dict[DeviceKey, list[tuple[int, int]]]
) -> None:
    """Two readings after each other, of any instances at any times."""
    devices: list[Device] = []
    for present in (first, second):
        sighting = Sighting("GPU-1", H100, "n1", "n1:9400", present)
        seating = seat_instances(1, sighting, devices)
        seats = {**{key: device.seat for key, device in seating.known.items()}, **seating.new}
        assert set(seats) | set(seating.unseated) == set(present), "nothing vanishes"
        for key, seat in seats.items():
            widths = {slices(key.profile, H100), slices_min(key.profile)}
            assert 840 <= seat[0] < seat[1] <= 1680 and slots(seat) * SLICES // SLOTS in widths
        for key, seat in seats.items():
            for other, taken in seats.items():
                together = any(overlaps(a, b) for a in present[key] for b in present[other])
                assert key == other or not together or not overlaps(seat, taken)
        for key, device in seating.known.items():
            assert device in devices and device.key == key
        number = len(devices)
        for key, seat in seating.new.items():
            number += 1
            devices.append(Device(number, key, 1, seat, H100, "n1", "n1:9400", "s", (0, 10**10)))


def test_the_larger_instance_is_seated_first_so_that_both_fit() -> None:
    key = {name: DeviceKey("GPU-1", number, name) for number, name in enumerate(("1g.10gb", "4g.40gb"))}  # type: ignore[arg-type]
    both = Sighting("GPU-1", H100, "n1", "n1:9400", {one: [(0, 10)] for one in key.values()})
    seating = seat_instances(1, both, [])
    assert seating.unseated == [] and seating.new[key["4g.40gb"]] == (840, 1260)
    assert seating.new[key["1g.10gb"]] == (1260, 1365)


def test_instances_that_are_all_there_fit_though_the_table_is_wrong_about_their_model() -> None:
    """Seven instances of a card whose memory we take for half of what it is: each is seated, and none twice."""
    present = {DeviceKey("GPU-1", str(number), "1g.20gb"): [(0, 10)] for number in range(7)}
    seating = seat_instances(1, Sighting("GPU-1", H100, "n1", "n1:9400", present), [])
    assert not seating.unseated and len(seating.new) == 7
    assert all(not overlaps(a, b) for a in seating.new.values() for b in seating.new.values() if a != b)


@given(st.sampled_from([2, 3, 4, 7, 8, 10]), st.data())
def test_shares_of_a_gpu_are_never_more_than_the_gpu(parts: int, data: st.DataObject) -> None:
    profile = share_profile(parts)
    assert profile == f"1of{parts}" and parts_of(profile) == parts
    spans = data.draw(
        st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda p: (p[0], p[0] + p[1])), max_size=12)
    )
    present = {DeviceKey("GPU-1", str(number), profile): [span] for number, span in enumerate(spans)}
    seating = seat_instances(1, Sighting("GPU-1", H100, "n1", "n1:9400", present), [])
    for at in range(100):
        there = [key for key, ((start, end),) in present.items() if start <= at < end]
        seats = sorted(seating.new[key] for key in there if key in seating.new)
        assert all(slots(seat) == SLOTS // parts for seat in seats)
        assert all(one[1] <= other[0] for one, other in pairwise(seats)) and len(seats) <= parts
    assert len(spans) > parts or not seating.unseated, "as many as there are have a seat"


def test_only_shares_that_divide_the_slots_are_shares() -> None:
    assert share_profile(16) is None and share_profile(1) is None and share_profile(11) is None
    assert [parts_of(profile) for profile in ("1of4", "1of16", "1of0", "1g.10gb", "", "2of4")] == [4, 0, 0, 0, 0, 0]

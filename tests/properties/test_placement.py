"""Placement's invariants: what was claimed is held, no GPU twice, and windows agree, checked second by second."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.core.period import Seconds, clip
from billing.fleet.gpu import SLICES, DeviceKey, slices
from billing.metering.coverage import presence
from billing.metering.holdings import EXACT, Holding, Known, Pool, holdings_of, reading_of
from billing.metering.placement import Claim, Placement, largest, place, spread

HORIZON = 60
POOLS = ("a", "b", "c")


@st.composite
def claims(draw: st.DrawFn) -> list[Claim[str]]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, HORIZON - 1))
        end = draw(st.integers(start + 1, HORIZON))
        pools = draw(st.lists(st.sampled_from(POOLS), min_size=1, max_size=3, unique=True))
        label = draw(st.sampled_from(["x", "y", "z"]))
        found.append(Claim((start, end), f"job{number}", label, tuple(pools), draw(st.integers(1, 6))))
    return found


sizes = st.fixed_dictionaries({pool: st.integers(0, 8) for pool in POOLS})
shuffled = st.randoms(use_true_random=False)


def held_at(placed: Placement[str], second: int) -> Counter[str]:
    return Counter(label for spans in placed.held.values() for start, end, label in spans if start <= second < end)


def lacking_at(placed: Placement[str], second: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for claim, (start, end), count in placed.unplaced:
        if start <= second < end:
            found[claim.label] += count
    return found


def claimed_at(found: list[Claim[str]], second: int) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for claim in found:
        if claim.span[0] <= second < claim.span[1]:
            wanted[claim.label] += claim.count
    return wanted


@given(claims(), sizes)
def test_every_second_of_a_claim_is_held_or_reported(found: list[Claim[str]], room: dict[str, int]) -> None:
    placed = place(found, room)
    for second in range(HORIZON):
        assert held_at(placed, second) + lacking_at(placed, second) == claimed_at(found, second)


@given(claims(), sizes)
def test_what_fits_on_its_pools_lacks_nothing(found: list[Claim[str]], room: dict[str, int]) -> None:
    single = [claim for claim in found if len(claim.pools) == 1]
    placed = place(single, room)
    for second in range(HORIZON):
        active = [claim for claim in single if claim.span[0] <= second < claim.span[1]]
        by_pool: Counter[str] = Counter()
        for claim in active:
            by_pool[claim.pools[0]] += claim.count
        held = Counter(pool for (pool, _), spans in placed.held.items() if any(s <= second < e for s, e, _ in spans))
        assert held == Counter({pool: min(count, room[pool]) for pool, count in by_pool.items() if room[pool]})


@given(claims())
def test_as_much_room_as_was_claimed_at_once_is_enough(found: list[Claim[str]]) -> None:
    single = [claim for claim in found if len(claim.pools) == 1]
    assert place(single, largest(single)).unplaced == []
    assert all(size <= sum(claim.count for claim in found) for size in largest(found).values())


@given(claims(), sizes)
def test_no_gpu_is_held_twice_and_none_that_is_not_there(found: list[Claim[str]], room: dict[str, int]) -> None:
    for (pool, gpu), spans in place(found, room).held.items():
        assert 0 <= gpu < room[pool]
        assert all(start < end for start, end, _ in spans)
        assert all(one[1] <= following[0] for one, following in pairwise(spans))


@given(claims(), sizes, shuffled)
def test_the_order_of_claims_changes_nothing(found: list[Claim[str]], room: dict[str, int], random: object) -> None:
    other = list(found)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert place(found, room) == place(other, room)


@given(claims(), sizes, st.integers(0, HORIZON - 1), st.integers(1, HORIZON), st.integers(0, HORIZON - 1))
def test_windows_that_overlap_agree_by_label(
    found: list[Claim[str]], room: dict[str, int], start: int, length: int, other: int
) -> None:
    """A window knows only the claims that touch it, and the end of a job that runs on only as its own end."""

    def window(span: Seconds) -> Placement[str]:
        touching = [
            Claim((one.span[0], min(one.span[1], span[1])), one.key, one.label, one.pools, one.count)
            for one in found
            if clip(one.span, span)
        ]
        return place(touching, room)

    a, b = (start, start + length), (other, other + length)
    common = clip(a, b)
    for second in range(*common) if common else ():
        assert held_at(window(a), second) == held_at(window(b), second)


@given(claims(), sizes)
def test_a_claim_on_one_pool_keeps_its_gpus_while_it_lasts(found: list[Claim[str]], room: dict[str, int]) -> None:
    single = [Claim(one.span, one.key, one.key, one.pools, one.count) for one in found if len(one.pools) == 1]
    for (_, _), spans in place(single, room).held.items():
        for _, end, label in spans:
            whole = next(claim.span for claim in single if claim.label == label)
            assert end == whole[1], "what a claim got it keeps until it ends"


@given(st.integers(0, 40), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_spreading_fills_evenly_and_completely(count: int, room: list[int]) -> None:
    given_ = spread(count, room)
    assert sum(given_) == min(count, sum(room))
    assert all(0 <= one <= most for one, most in zip(given_, room, strict=True))
    below = [one for one, most in zip(given_, room, strict=True) if one < most]
    assert not below or max(given_) - min(below) <= 1


@given(
    st.lists(st.tuples(st.integers(-5, 70), st.integers(1, 30), st.sampled_from(["x", "y", ""])), max_size=8),
    st.lists(st.tuples(st.integers(-5, 70), st.integers(1, 30)), max_size=4),
)
def test_the_exact_cadence_says_every_second_as_it_was(
    pieces: list[tuple[int, int, str]], seen: list[tuple[int, int]]
) -> None:
    """Edges are exact to the second, also between holders without a pause and with a pause of one second."""
    truth: dict[int, tuple[str, ...]] = {}
    at, held = 100, []
    for gap, length, label in pieces:
        at += max(0, gap) % 3
        if label:
            held.append((at, at + length, (label,)))
        at += length
    present = [(100 + start, 100 + start + length) for start, length in seen]
    for start, end in present:
        truth.update(dict.fromkeys(range(start, end), ()))
    for start, end, labels in held:
        truth.update(dict.fromkeys(range(start, end), labels))
    window = (103, 160)
    key = DeviceKey("s/n/0")
    reading = reading_of(window, {key: Holding("m", "n", "s", held, present)}, {})
    segments = presence(reading, EXACT).get(key, [])
    found = {second: one.labels for start, end, one in segments for second in range(start, end)}
    assert found == {second: labels for second, labels in truth.items() if window[0] <= second < window[1]}


@given(
    st.dictionaries(st.sampled_from(["", "1g.10gb", "2g.20gb", "3g.40gb", "7g.80gb"]), st.integers(0, 12), max_size=5)
)
def test_mig_instances_are_packed_into_gpus_that_can_hold_them(counts: dict[str, int]) -> None:
    model = "NVIDIA H100 80GB HBM3"
    pools = {Pool("n1", "h100", profile): Known(model, size) for profile, size in counts.items()}
    keys = list(holdings_of("s", Placement(), pools))
    assert len(keys) == len(set(keys)) == sum(counts.values())
    taken: Counter[str] = Counter()
    for key in keys:
        if not key.is_whole:
            taken[key.uuid] += slices(key.profile, model)
    assert all(used <= SLICES for used in taken.values())
    assert not taken.keys() & {key.uuid for key in keys if key.is_whole}

"""The gap rule, against a plain re-implementation that looks at every second."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.core.period import Seconds
from billing.fleet.gpu import Device, DeviceKey, gpu_seat
from billing.metering.coverage import GONE, IDLE, UNSEEN, Seen, Segment, State, join
from billing.metering.derivation import Evidence, Terms, derive
from billing.metering.usage import ExclusionRule, Gaps, Held, Labels
from billing.tenants.tenant import Claim, GapPolicy, GapRule, GapTerm

END = 100
GPU = Device(1, DeviceKey("GPU-1"), 1, gpu_seat(1), "NVIDIA H100 80GB HBM3", "n1", "n1:9400", "s", (0, END))
A, B = Seen(State.PRESENT, ("a",)), Seen(State.PRESENT, ("b",))
LABELS = Labels([Claim(1, "", "a", (0, 10**9)), Claim(2, "", "b", (0, 10**9))], billable=[1, 2])
RULE = ExclusionRule(operator_evidence=False, minimum_seconds=900)


@st.composite
def lives(draw: st.DrawFn) -> list[Segment]:
    """What was said about a GPU over its whole time, nothing left out."""
    edges = sorted(draw(st.sets(st.integers(1, END - 1), max_size=12)) | {0, END})
    return join((a, b, draw(st.sampled_from([A, A, B, IDLE, UNSEEN, UNSEEN, GONE]))) for a, b in pairwise(edges))


def billed(
    life: list[Segment], gaps: Gaps, leases: list[Held], window: Seconds = (0, END)
) -> dict[int, tuple[int, bool]]:
    derived = derive(Evidence([GPU], {1: life}, leases, []), window, Terms({"s": (1, RULE)}, LABELS, gaps))
    rows = [(second, (p.tenant_id, p.bridged)) for s, e, p in derived.usage.get(1, []) for second in range(s, e)]
    assert len(rows) == len(dict(rows)), "a second is billed twice"
    return dict(rows)


def wanted(life: list[Segment], limits: dict[int, tuple[int, int]]) -> dict[int, tuple[int, bool]]:
    """{second: (tenant, bridged)} by the words of the rule. `limits` holds (limit, since) by tenant."""
    by_second = {second: seen for start, end, seen in life for second in range(start, end)}
    holder = {second: {A: 1, B: 2}.get(seen) for second, seen in by_second.items()}
    found = {second: (tenant, False) for second, tenant in holder.items() if tenant}
    second = 0
    while second < END:
        start = second
        while second < END and by_second[second] == UNSEEN:
            second += 1
        if start == second:
            second += 1
            continue
        before, after = holder.get(start - 1), holder.get(second)
        limit, since = limits.get(before or 0, (0, 0))
        if before and before == after and second - start <= limit and start >= since:
            found |= dict.fromkeys(range(start, second), (before, True))
    return found


terms = st.fixed_dictionaries({1: st.tuples(st.integers(1, 30), st.integers(0, 80))})


@given(lives(), terms)
def test_a_gap_is_billed_when_it_is_blind_short_enough_and_between_sightings_of_one_tenant(
    life: list[Segment], limits: dict[int, tuple[int, int]]
) -> None:
    gaps = Gaps([GapTerm(t, GapRule(GapPolicy.BRIDGE, limit), since) for t, (limit, since) in limits.items()])
    assert billed(life, gaps, []) == wanted(life, limits)


@given(lives(), st.integers(1, 30), st.integers(1, END - 1), st.data())
def test_windows_tile_whatever_is_bridged(life: list[Segment], limit: int, cut: int, data: st.DataObject) -> None:
    """Two windows with what lies a limit beyond their edges say the same as one."""
    gaps = Gaps([GapTerm(1, GapRule(GapPolicy.BRIDGE, limit), 0)])

    def near(window: Seconds) -> list[Segment]:
        return [one for one in life if one[0] <= window[1] + limit and one[1] >= window[0] - limit]

    halves = [(0, cut), (cut, END)]
    tiled = [billed(near(window), gaps, [], window) for window in halves]
    assert tiled[0] | tiled[1] == billed(life, gaps, [])


@given(lives(), st.integers(1, 30), st.integers(0, 80), st.integers(1, 40))
def test_a_bridge_never_reaches_into_a_lease(life: list[Segment], limit: int, start: int, length: int) -> None:
    gaps = Gaps([GapTerm(1, GapRule(GapPolicy.BRIDGE, limit), 0)])
    lease = Held(7, 2, (start, min(END, start + length)))
    rows = billed(life, gaps, [lease])
    assert all(rows[second] == (2, False) for second in range(*lease.span))
    alone = billed(life, gaps, [])
    assert all(rows.get(s) == alone.get(s) for s in range(END) if not lease.span[0] <= s < lease.span[1])


@given(lives())
def test_without_a_term_no_unseen_second_is_billed(life: list[Segment]) -> None:
    assert not any(bridged for _, bridged in billed(life, Gaps(), []).values())


@given(lives())
def test_of_two_terms_the_one_that_was_set_later_counts(life: list[Segment]) -> None:
    bridge, exclude = GapRule(GapPolicy.BRIDGE, 30), GapRule()
    assert billed(life, Gaps([GapTerm(1, bridge, 0), GapTerm(1, exclude, 0)]), []) == billed(life, Gaps(), [])
    later = Gaps([GapTerm(1, exclude, 50), GapTerm(1, bridge, 0)])
    assert billed(life, later, []) == billed(life, Gaps([GapTerm(1, bridge, 0)]), [])

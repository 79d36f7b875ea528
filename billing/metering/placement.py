"""Which GPUs a job or pod holds, where its source tells only how many: claims become spans of numbered GPUs.

How many GPUs a claim gets at an instant follows from the claims of that instant alone, so that overlapping windows agree to
the second. Which GPUs it gets depends on what it held before: a claim keeps its places while it lasts.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from billing.core.period import Seconds

P = TypeVar("P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Claim(Generic[P]):
    """`count` GPUs of some pools (like the H100s of one node) together, held by `label` during a span.

    `key` names the job or pod. A claim on several pools is spread evenly, as far as others leave room.
    """

    span: Seconds
    key: str
    label: str
    pools: tuple[P, ...]
    count: int

    def __post_init__(self) -> None:
        assert self.span[0] < self.span[1] and self.count > 0 and len(set(self.pools)) == len(self.pools) > 0


@dataclass(slots=True)
class Placement(Generic[P]):
    """Who holds which GPU of which pool, and what found no room: (claim, span, GPUs)."""

    held: dict[tuple[P, int], list[tuple[int, int, str]]] = field(default_factory=dict)
    unplaced: list[tuple[Claim[P], Seconds, int]] = field(default_factory=list)


def place(claims: Iterable[Claim[P]], sizes: Mapping[P, int]) -> Placement[P]:
    """Give every claim its GPUs; `sizes` says how many a pool has. The order of `claims` changes nothing.

    Where more is claimed than there is, claims on one pool go before claims on several, and earlier ones before later ones.
    """
    result: Placement[P] = Placement()
    _Sweep(sorted(claims, key=_order), sizes, result).run()
    for spans in result.held.values():
        spans.sort()
    result.unplaced.sort(key=lambda one: (one[1], _order(one[0])))
    return result


def largest(claims: Iterable[Claim[P]]) -> dict[P, int]:
    """The most that was claimed of each pool at one instant, claims on several pools spread evenly and rounded up."""
    changes: dict[P, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for claim in claims:
        share = -(-claim.count // len(claim.pools))
        for pool in claim.pools:
            changes[pool][claim.span[0]] += share
            changes[pool][claim.span[1]] -= share
    found: dict[P, int] = {}
    for pool, steps in changes.items():
        level = peak = 0
        for at in sorted(steps):
            level += steps[at]
            peak = max(peak, level)
        found[pool] = peak
    return found


def spread(count: int, room: Sequence[int]) -> list[int]:
    """`count` over places as evenly as their room allows, the rest to the first ones; what has no room is left out."""
    given, left = [0] * len(room), min(count, sum(room))
    while left:
        open_places = [index for index, most in enumerate(room) if given[index] < most]
        each = max(1, left // len(open_places))
        for index in open_places:
            more = min(each, room[index] - given[index], left)
            given[index] += more
            left -= more
    return given


def _order(claim: Claim[P]) -> tuple[bool, int, str, str, int, str, int]:
    """The end comes last: that of a job which still runs is only the window's."""
    return len(claim.pools) > 1, claim.span[0], claim.key, claim.label, claim.count, repr(claim.pools), claim.span[1]


class _Sweep(Generic[P]):
    """Goes through the instants at which claims begin or end. At each, only claims that share pools with those are looked
    at, directly or through others: most often the claims of one node."""

    def __init__(self, claims: Sequence[Claim[P]], sizes: Mapping[P, int], result: Placement[P]) -> None:
        self._claims, self._sizes, self._result = claims, sizes, result
        self._pools = [sorted(claim.pools, key=repr) for claim in claims]
        self._on: dict[P, set[int]] = {pool: set() for pools in self._pools for pool in pools}
        """The claims (their numbers) of a pool at the moment."""
        self._free = {pool: set(range(sizes.get(pool, 0))) for pool in self._on}
        self._held: dict[int, dict[P, list[tuple[int, int]]]] = defaultdict(dict)
        """By claim and pool: (GPU, held since)."""
        self._lacking: dict[int, tuple[int, int]] = {}
        """By claim: since when it lacks how many."""

    def run(self) -> None:
        begins: dict[int, list[int]] = defaultdict(list)
        ends: dict[int, list[int]] = defaultdict(list)
        for number, claim in enumerate(self._claims):
            begins[claim.span[0]].append(number)
            ends[claim.span[1]].append(number)
        for at in sorted({*begins, *ends}):
            for number in ends[at]:
                for pool in self._pools[number]:
                    self._on[pool].discard(number)
            for number in begins[at]:
                for pool in self._pools[number]:
                    self._on[pool].add(number)
            self._settle(at, ends[at], begins[at])

    def _settle(self, at: int, ended: Sequence[int], begun: Sequence[int]) -> None:
        active = sorted(self._together(pool for number in (*ended, *begun) for pool in self._pools[number]))
        wanted = self._wanted(active)
        for number in (*ended, *active):
            for pool in list(self._held[number]):
                self._release(number, pool, at, wanted.get((number, pool), 0))
        for (number, pool), count in wanted.items():
            self._take(number, pool, at, count)
        for number in ended:
            del self._held[number]
            self._note_lack(number, at, 0)
        for number in active:
            given = sum(len(gpus) for gpus in self._held[number].values())
            self._note_lack(number, at, self._claims[number].count - given)

    def _together(self, pools: Iterable[P]) -> set[int]:
        """The present claims on some pools, and those that share a pool with them."""
        left, seen, found = list(pools), set[P](), set[int]()
        while left:
            pool = left.pop()
            if pool in seen:
                continue
            seen.add(pool)
            for number in self._on[pool] - found:
                found.add(number)
                left += self._pools[number]
        return found

    def _wanted(self, active: Sequence[int]) -> dict[tuple[int, P], int]:
        """How many GPUs of which pool each claim has at an instant. Claims are numbered in their order."""
        room: dict[P, int] = {}
        wanted: dict[tuple[int, P], int] = {}
        for number in active:
            pools = self._pools[number]
            left = [room.setdefault(pool, self._sizes.get(pool, 0)) for pool in pools]
            for pool, count in zip(pools, spread(self._claims[number].count, left), strict=True):
                room[pool] -= count
                if count:
                    wanted[number, pool] = count
        return wanted

    def _release(self, number: int, pool: P, at: int, keep: int) -> None:
        held = self._held[number]
        for gpu, since in held[pool][keep:]:
            self._free[pool].add(gpu)
            self._result.held.setdefault((pool, gpu), []).append((since, at, self._claims[number].label))
        held[pool] = held[pool][:keep]
        if not keep:
            del held[pool]

    def _take(self, number: int, pool: P, at: int, count: int) -> None:
        held = self._held[number].setdefault(pool, [])
        if count > len(held):
            for gpu in sorted(self._free[pool])[: count - len(held)]:
                self._free[pool].remove(gpu)
                held.append((gpu, at))

    def _note_lack(self, number: int, at: int, lack: int) -> None:
        since, before = self._lacking.get(number, (at, 0))
        if lack == before:
            return
        if before:
            self._result.unplaced.append((self._claims[number], (since, at), before))
        if lack:
            self._lacking[number] = (at, lack)
        else:
            del self._lacking[number]

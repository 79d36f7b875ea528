"""Which GPUs a job or pod holds, where its source tells only how many: claims become spans of numbered GPUs.

How many GPUs a claim gets at an instant follows from the claims of that instant alone, so that overlapping windows agree to
the second. Which GPUs it gets depends on what it held before: a claim keeps its places while it lasts.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
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
    for group in _apart(sorted(claims, key=_order)):
        _Sweep(group, sizes, result).run()
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


def _apart(claims: Sequence[Claim[P]]) -> Iterator[list[Claim[P]]]:
    """Claims in groups that share no pool: most often the claims of one node."""
    parent: dict[P, P] = {}

    def root(pool: P) -> P:
        parent.setdefault(pool, pool)
        while parent[pool] != pool:
            parent[pool] = pool = parent[parent[pool]]
        return pool

    for claim in claims:
        for pool in claim.pools:
            parent[root(pool)] = root(claim.pools[0])
    groups: dict[P, list[Claim[P]]] = defaultdict(list)
    for claim in claims:
        groups[root(claim.pools[0])].append(claim)
    yield from groups.values()


class _Sweep(Generic[P]):
    """Goes through the instants at which a claim of a group begins or ends."""

    def __init__(self, claims: Sequence[Claim[P]], sizes: Mapping[P, int], result: Placement[P]) -> None:
        self._claims, self._sizes, self._result = claims, sizes, result
        self._pools = {pool for claim in claims for pool in claim.pools}
        self._free = {pool: set(range(sizes.get(pool, 0))) for pool in self._pools}
        self._held: dict[tuple[int, P], list[tuple[int, int]]] = {}
        """By claim (its number) and pool: (GPU, held since)."""
        self._lacking: dict[int, tuple[int, int]] = {}
        """By claim: since when it lacks how many."""

    def run(self) -> None:
        begins: dict[int, list[int]] = defaultdict(list)
        ends: dict[int, list[int]] = defaultdict(list)
        for number, claim in enumerate(self._claims):
            begins[claim.span[0]].append(number)
            ends[claim.span[1]].append(number)
        active: set[int] = set()
        for at in sorted({*begins, *ends}):
            active.difference_update(ends[at])
            active.update(begins[at])
            wanted = self._wanted(sorted(active))
            for key in list(self._held):
                self._release(key, at, wanted.get(key, 0))
            for key, count in wanted.items():
                self._take(key, at, count)
            for number in {*active, *self._lacking}:
                given = sum(wanted.get((number, pool), 0) for pool in self._claims[number].pools)
                self._note_lack(number, at, self._claims[number].count - given if number in active else 0)

    def _wanted(self, active: Sequence[int]) -> dict[tuple[int, P], int]:
        """How many GPUs of which pool each claim has at an instant. Claims are numbered in their order."""
        room = {pool: self._sizes.get(pool, 0) for pool in self._pools}
        wanted: dict[tuple[int, P], int] = {}
        for number in active:
            claim = self._claims[number]
            pools = sorted(claim.pools, key=repr)
            for pool, count in zip(pools, spread(claim.count, [room[pool] for pool in pools]), strict=True):
                room[pool] -= count
                if count:
                    wanted[number, pool] = count
        return wanted

    def _release(self, key: tuple[int, P], at: int, keep: int) -> None:
        number, pool = key
        for gpu, since in self._held[key][keep:]:
            self._free[pool].add(gpu)
            spans = self._result.held.setdefault((pool, gpu), [])
            spans.append((since, at, self._claims[number].label))
        self._held[key] = self._held[key][:keep]
        if not self._held[key]:
            del self._held[key]

    def _take(self, key: tuple[int, P], at: int, count: int) -> None:
        free, held = self._free[key[1]], self._held.setdefault(key, [])
        for gpu in sorted(free)[: count - len(held)]:
            free.remove(gpu)
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

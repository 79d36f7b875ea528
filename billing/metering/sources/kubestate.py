"""Decodes kube-state-metrics: which running pod holds how many GPUs of which node, and how many GPUs a node has.

A pod's sample covers the time since its previous one in any phase; its first one, the time since the scrape before.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from billing.core.period import Seconds, merge
from billing.fleet.gpu import SLOTS, share_profile
from billing.metering.holdings import Known, Pool, is_plain
from billing.metering.placement import Claim, largest
from billing.metering.reading import Cadence

SHARED: Final = "nvidia_com_gpu_shared"
RESOURCES: Final = f"nvidia_com_gpu|{SHARED}|nvidia_com_mig_.+"
"""Names of GPU resources, as kube-state-metrics writes them. Shares of time-sliced GPUs are called GPUs or shared GPUs."""

PRODUCT: Final = "label_nvidia_com_gpu_product"
REPLICAS: Final = "label_nvidia_com_gpu_replicas"
PHYSICAL: Final = "label_nvidia_com_gpu_count"
_COUNT: Final = re.compile(r"\d{1,6}")
_MIG: Final = re.compile(r"nvidia_com_mig_(\d)g_(\d+)gb(?:_(.+))?")
_SINGLE: Final = re.compile(r"(.+)-MIG-(\dg\.\d+gb.*)")

Series = tuple[Mapping[str, str], Sequence[tuple[int, str]]]
Timed = dict[int, str]
"""Values by time in ms."""


def own(labels: Mapping[str, str], name: str) -> str:
    """A label as kube-state-metrics gave it. Prometheus renames it when the target has a label of that name too."""
    return labels.get(f"exported_{name}") or labels.get(name, "")


def profile_of(resource: str) -> str | None:
    """The MIG profile of a resource: `nvidia_com_mig_1g_10gb` is `1g.10gb`; empty for a GPU or a share of one, None for no
    GPU."""
    if resource in ("nvidia_com_gpu", SHARED):
        return ""
    match = _MIG.fullmatch(resource)
    if match is None:
        return None
    return f"{match.group(1)}g.{match.group(2)}gb" + (f"+{match.group(3).replace('_', '.')}" if match.group(3) else "")


class Container(NamedTuple):
    """A container of a pod; those that run first and end are counted on their own."""

    name: str
    is_init: bool
    profile: str


@dataclass(slots=True)
class Pod:
    """What was said about a pod, by time."""

    name: str
    node: str = ""
    phase: Timed = field(default_factory=dict)
    requests: dict[Container, Timed] = field(default_factory=dict)
    label: Timed = field(default_factory=dict)


class _Lookup:
    """The value at a time: the latest one before it, else the next one after it, neither further than a gap away.

    Behind a de-duplicating server the series of one pod may be of different replicas, sampled at different instants.
    """

    def __init__(self, timed: Timed, gap_ms: int) -> None:
        self._times, self._timed, self._gap = sorted(timed), timed, gap_ms

    def at(self, moment: int) -> str:
        index = bisect_right(self._times, moment)
        for near in self._times[max(0, index - 1) : index + 1]:
            if abs(moment - near) <= self._gap:
                return self._timed[near]
        return ""


@dataclass(frozen=True, slots=True)
class State:
    """What a cluster's series say: claims of pods, pools of nodes, when each instance answered, and what was not understood."""

    claims: list[Claim[Pool]]
    pools: dict[Pool, Known]
    answering: dict[str, list[Seconds]]
    problems: set[str]


class Cluster:
    """Takes the series of a window, then says what they mean."""

    def __init__(self, cadence: Cadence, tenant_label: str, model: str) -> None:
        self._cadence, self._tenant_label, self._model = cadence, tenant_label, model
        self._pods: dict[str, Pod] = {}
        self._capacity: dict[tuple[str, str], Timed] = {}
        self._nodes: dict[str, tuple[int, Mapping[str, str]]] = {}
        self._scraped: dict[str, set[int]] = defaultdict(set)
        self._instance: dict[tuple[str, int], str] = {}
        self._problems: set[str] = set()

    def add_requests(self, series: Iterable[Series], *, is_init: bool = False) -> None:
        for labels, samples in series:
            profile = profile_of(own(labels, "resource"))
            pod = self._pod(labels) if profile is not None else None
            if profile is None or pod is None:
                continue
            pod.node = own(labels, "node") or pod.node
            container = Container(own(labels, "container"), is_init, profile)
            pod.requests.setdefault(container, {}).update(samples)
            if not self._tenant_label.startswith("label_"):
                label = own(labels, self._tenant_label)
                pod.label.update((at, label) for at, _ in samples)
            self._note(labels, samples, pod.name)

    def add_phases(self, series: Iterable[Series]) -> None:
        """After the requests: phases of pods without GPUs are left out."""
        for labels, samples in series:
            pod = self._pods.get(_uid(labels))
            if pod is not None:
                for at, value in samples:
                    pod.phase[at] = "1" if "1" in (value, pod.phase.get(at)) else value
                self._note(labels, samples, pod.name)

    def add_pod_labels(self, series: Iterable[Series]) -> None:
        for labels, samples in series:
            pod = self._pods.get(_uid(labels))
            if pod is not None:
                pod.label.update((at, labels.get(self._tenant_label, "")) for at, _ in samples)

    def add_nodes(self, series: Iterable[Series]) -> None:
        for labels, samples in series:
            node, resource = own(labels, "node"), own(labels, "resource")
            if profile_of(resource) is None or not is_plain(node):
                self._problems.add(f"node {node[:40]!r} has the resource {resource[:40]!r}, which is no GPU")
                continue
            timed = self._capacity.setdefault((node, resource), {})
            for at, value in samples:
                timed[at] = value if self._count(value, f"node {node}") else timed.get(at, "0")
            self._note(labels, samples, node)

    def add_node_labels(self, series: Iterable[Series]) -> None:
        """The newest labels of a node count."""
        for labels, samples in series:
            node = own(labels, "node")
            if samples and (node not in self._nodes or self._nodes[node][0] < samples[-1][0]):
                self._nodes[node] = (samples[-1][0], labels)

    @property
    def has_pods(self) -> bool:
        return bool(self._pods)

    @property
    def has_nodes(self) -> bool:
        return bool(self._capacity)

    def state(self) -> State:
        if not self._scraped:
            self._problems.add("no series of kube-state-metrics: is it scraped, and do the matchers fit?")
        claims = [claim for pod in self._pods.values() for claim in self._claims(pod)]
        pools = self._pools(claims)
        answering = {
            instance: merge((start, end) for start, end, _ in self._covered(dict.fromkeys(times, ""), ""))
            for instance, times in self._scraped.items()
        }
        return State(claims, pools, answering, self._problems)

    def _pod(self, labels: Mapping[str, str]) -> Pod | None:
        name = f"{own(labels, 'namespace')}/{own(labels, 'pod')}"
        if not is_plain(name):
            self._problems.add(f"pod {name[:60]!r} has no plain name")
            return None
        return self._pods.setdefault(_uid(labels), Pod(name))

    def _note(self, labels: Mapping[str, str], samples: Sequence[tuple[int, str]], name: str) -> None:
        instance = labels.get("instance", "")
        for at, _ in samples:
            self._scraped[instance].add(at)
            self._instance[name, at] = instance

    def _count(self, value: str, whose: str) -> int:
        if _COUNT.fullmatch(value):
            return int(value)
        self._problems.add(f"{whose} has {value[:20]!r} GPUs, which is no number of them")
        return 0

    def _claims(self, pod: Pod) -> Iterable[Claim[Pool]]:
        """The spans in which a pod ran, cut where its request or its label changed."""
        gap = self._cadence.max_gap_ms
        requests = {container: _Lookup(timed, gap) for container, timed in pod.requests.items()}
        labels, node = _Lookup(pod.label, gap), self._nodes.get(pod.node, (0, {}))[1]
        meaning: Timed = {}
        wants: dict[str, tuple[str, dict[str, int]]] = {}
        for at, phase in pod.phase.items():
            if phase != "1":
                meaning[at] = ""
                continue
            held = self._held(pod.name, {container: lookup.at(at) for container, lookup in requests.items()})
            label = labels.at(at)
            meaning[at] = repr((label, sorted(held.items())))
            wants[meaning[at]] = (label, held)
        for start, end, value in self._covered(meaning, pod.name):
            label, held = wants.get(value, ("", {}))
            for profile, count in held.items():
                if not pod.node or not is_plain(pod.node):
                    self._problems.add(f"pod {pod.name} runs on no node, not billed")
                elif not is_plain(label):
                    self._problems.add(f"pod {pod.name} has no {self._tenant_label}, not billed")
                elif not profile and _shares(node) > 1 and not _share(node):
                    self._problems.add(
                        f"{pod.node} slices its GPUs by time, into a number of shares that is not told or does not divide"
                        f" {SLOTS}: the shares of {pod.name} are not billed"
                    )
                else:
                    pool = Pool(pod.node, "", profile or _share(node) or _single(node)[1])
                    yield Claim((start, end), pod.name, label, (pool,), count)

    def _held(self, name: str, requests: Mapping[Container, str]) -> dict[str, int]:
        """What a pod holds, by profile: what its containers ask for together, or the most that one ran before them asks."""
        together: dict[str, int] = defaultdict(int)
        before: dict[str, int] = defaultdict(int)
        for container, value in requests.items():
            count = self._count(value, f"pod {name}") if value else 0
            if container.is_init:
                before[container.profile] = max(before[container.profile], count)
            else:
                together[container.profile] += count
        found = {profile: max(together[profile], before[profile]) for profile in {*together, *before}}
        return {profile: count for profile, count in found.items() if count}

    def _pools(self, claims: Sequence[Claim[Pool]]) -> dict[Pool, Known]:
        pools: dict[Pool, Known] = {}
        for (node, resource), timed in self._capacity.items():
            labels = self._nodes.get(node, (0, {}))[1]
            shares = _shares(labels)
            counts = [(s, e, int(value or 0)) for s, e, value in self._covered(timed, node)]
            share = _share(labels) if not profile_of(resource) else ""
            if not profile_of(resource) and shares > 1 and not share:
                physical = labels.get(PHYSICAL, "")
                counts = [(s, e, int(physical) if _COUNT.fullmatch(physical) else n // shares) for s, e, n in counts]
            size = max((count for _, _, count in counts), default=0)
            profile = profile_of(resource) or share or _single(labels)[1]
            last = max(timed, default=0)
            pool = Pool(node, "", profile)
            if pool in pools and size <= pools[pool].size:
                continue  # a node whose shares are called shared GPUs has no GPUs of the other name
            pools[pool] = Known(
                _single(labels)[0] or self._model or "unknown", size, counts, self._instance.get((node, last), "")
            )
        for pool, size in largest(claims).items():
            if pool not in pools:
                self._problems.add(f"{pool.node} has pods with GPUs and no capacity: its idle GPUs are not seen")
                labels = self._nodes.get(pool.node, (0, {}))[1]
                pools[pool] = Known(_single(labels)[0] or self._model or "unknown", size, (), min(self._scraped))
        return pools

    def _covered(self, timed: Timed, name: str) -> list[tuple[int, int, str]]:
        """What each sample covers, in whole seconds: neighbours with the same value together."""
        found: list[tuple[int, int, str]] = []
        previous: int | None = None
        for at in sorted(timed):
            start = self._start(at, previous, name) // 1000
            value, end, previous = timed[at], at // 1000, at
            if start >= end:
                continue
            if found and found[-1][1:] == (start, value):
                found[-1] = (found[-1][0], end, value)
            else:
                found.append((start, end, value))
        return found

    def _start(self, at: int, previous: int | None, name: str) -> int:
        gap = self._cadence.max_gap_ms
        if previous is not None and at - previous <= gap:
            return previous
        instance = self._instance.get((name, at))
        before = max((t for t in self._scraped.get(instance or "", ()) if t < at), default=None) if name else None
        if before is not None and at - before <= gap and (previous is None or before > previous):
            return before
        return at - self._cadence.interval_ms


def _uid(labels: Mapping[str, str]) -> str:
    return labels.get("uid") or f"{own(labels, 'namespace')}/{own(labels, 'pod')}"


def _shares(node: Mapping[str, str]) -> int:
    """Into how many shares each GPU of a node is sliced by time."""
    told = node.get(REPLICAS, "")
    shares = int(told) if _COUNT.fullmatch(told) else 1
    return max(shares, 2) if node.get(PRODUCT, "").endswith("-SHARED") else shares


def _share(node: Mapping[str, str]) -> str:
    """The profile of a share of the node's GPUs; empty when they are not sliced by time, or nobody tells into how many."""
    told = node.get(REPLICAS, "")
    if _single(node)[1] or not _COUNT.fullmatch(told):
        return ""
    return share_profile(int(told)) or ""


def _single(node: Mapping[str, str]) -> tuple[str, str]:
    """(model, profile) of a node. With one profile for all GPUs its instances are called GPUs; the product tells."""
    product = node.get(PRODUCT, "").removesuffix("-SHARED")
    match = _SINGLE.fullmatch(product)
    return (match.group(1), match.group(2)) if match else (product, "")

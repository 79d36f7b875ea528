"""A fleet whose truth is known to the millisecond, and what a Prometheus would have scraped of it.

Truth: who held which device when, which hosts were down, which GPUs were gone, where a GPU was, how it was partitioned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Final

from tests.factories import H100, second

INTERVAL: Final = 60
HOURS: Final = 24
START: Final = second(0) * 1000
END: Final = second(HOURS) * 1000
EDGE: Final = 5 * 60_000
"""The scrapes go on before and after the day."""

Span = tuple[int, int]
"""Epoch milliseconds."""

EVER: Final[Span] = (START - EDGE, END + EDGE)


def during(hours: float, until: float) -> Span:
    """A span in hours of the day."""
    return START + round(hours * 3_600_000), START + round(until * 3_600_000)


def inside(at: int, spans: Sequence[Span]) -> bool:
    return any(start <= at < end for start, end in spans)


@dataclass
class Part:
    """A device: a whole GPU, or a MIG instance. `held` says which tenant's pod it was given to."""

    gpu_i_id: str = ""
    profile: str = ""
    exists: Span = EVER
    held: list[tuple[int, int, str]] = field(default_factory=list)

    def holder(self, at: int) -> str:
        return next((tenant for start, end, tenant in self.held if start <= at < end), "")


@dataclass
class Gpu:
    uuid: str
    parts: list[Part] = field(default_factory=list)
    gone: list[Span] = field(default_factory=list)


@dataclass
class Host:
    """One exporter. `addresses` are the instances under which it answered; several `offsets` (ms) are replicas that all
    scrape it. `gpus` says which GPUs it housed when."""

    name: str
    offsets: tuple[int, ...]
    addresses: list[tuple[int, int, str]]
    gpus: list[tuple[int, int, Gpu]] = field(default_factory=list)
    down: list[Span] = field(default_factory=list)

    def address(self, at: int) -> str:
        return next(name for start, end, name in self.addresses if start <= at < end)


@dataclass
class World:
    hosts: list[Host]

    @property
    def gpus(self) -> list[Gpu]:
        return list({gpu.uuid: gpu for host in self.hosts for _, _, gpu in host.gpus}.values())

    def hidden(self, gpu: Gpu) -> list[Span]:
        """When nobody could see a GPU: its host was down, or it was gone."""
        return [
            *gpu.gone,
            *(
                (max(start, a), min(end, b))
                for host in self.hosts
                for start, end, one in host.gpus
                if one is gpu
                for a, b in host.down
                if max(start, a) < min(end, b)
            ),
        ]

    def openmetrics(self) -> str:
        """Everything that was scraped, as promtool takes it: each series' samples in order."""
        series: dict[str, list[int]] = {}
        up: list[str] = []
        for host in self.hosts:
            for number, offset in enumerate(host.offsets):
                replica = f',prometheus_replica="r{number}"' if len(host.offsets) > 1 else ""
                for at in range(EVER[0] + offset, EVER[1], INTERVAL * 1000):
                    target = f'job="dcgm",instance="{host.address(at)}"{replica}'
                    down = inside(at, host.down)
                    up.append(f"up{{{target}}} {1 - down} {at // 1000}.{at % 1000:03d}")
                    if not down:
                        for labels in _page(host, at):
                            series.setdefault(f"{target},{labels}", []).append(at)
        lines = [
            f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} {30 + at // 60_000 % 40} {at // 1000}.{at % 1000:03d}"
            for labels, times in series.items()
            for at in times
        ]
        return "\n".join(["# TYPE DCGM_FI_DEV_GPU_TEMP gauge", *lines, "# TYPE up gauge", *up, "# EOF", ""])


def _page(host: Host, at: int) -> Iterator[str]:
    """The labels of all lines of an exporter's page."""
    for start, end, gpu in host.gpus:
        if not start <= at < end or inside(at, gpu.gone):
            continue
        for part in gpu.parts:
            if not part.exists[0] <= at < part.exists[1]:
                continue
            instance = f',GPU_I_ID="{part.gpu_i_id}",GPU_I_PROFILE="{part.profile}"' if part.profile else ""
            holder = part.holder(at)
            pod = f',namespace="{holder}",pod="{holder}-{at // 3_600_000 % 7}",container="main"' if holder else ""
            yield f'Hostname="{host.name}",UUID="{gpu.uuid}",modelName="{H100}"{instance}{pod}'


def world(seed: int, tenants: Sequence[str]) -> World:
    """Eight hosts with eight GPUs.

    0: quiet. 1, 2: their GPUs change hands. 3: two replicas scrape it. 4: a GPU is gone for a while; then it goes down twice,
    and its exporter comes back under another address. 5: a GPU falls off the bus, for long and for short. 6: GPUs cut into instances, and cut anew
    while others hold them. 7: a GPU moves here from host 5 while another one is repaired.
    """
    random = Random(seed)
    hosts = [_host(number, random) for number in range(8)]
    for host in hosts:
        for index in range(8):
            gpu = Gpu(f"GPU-{random.getrandbits(32):08x}-{host.name[-1]}{index}", [Part()])
            gpu.parts[0].held = _changing(random, tenants, 4 if host.name != "node-0" else 0)
            host.gpus.append((*EVER, gpu))
    hosts[4].down = [during(5.11, 5.72), during(15.003, 15.1)]
    hosts[4].addresses = [(EVER[0], hosts[4].down[0][1], "10.0.0.4:9400"), (hosts[4].down[0][1], EVER[1], "10.0.0.94:9400")]  # fmt: skip
    hosts[4].gpus[2][2].gone = [during(2.2, 3.1)]
    hosts[5].gpus[0][2].gone = [during(3.3, 4.9)]
    hosts[5].gpus[1][2].gone = [during(8.01, 8.2), during(9.5, 9.6)]
    for index in (0, 1):
        _partition(hosts[6].gpus[index][2], random, tenants)
    left, moved = during(11.2, 13.45), hosts[5].gpus[7][2]
    hosts[5].gpus[7] = (EVER[0], left[0], moved)
    hosts[7].gpus.append((left[1], EVER[1], moved))
    moved.gone = [left]
    return World(hosts)


def _host(number: int, random: Random) -> Host:
    first = random.randrange(INTERVAL * 1000)
    offsets = (first, (first + 31_400) % (INTERVAL * 1000)) if number == 3 else (first,)
    return Host(f"node-{number}", offsets, [(*EVER, f"10.0.0.{number}:9400")])


def _changing(random: Random, tenants: Sequence[str], most: int) -> list[tuple[int, int, str]]:
    """Who held a device: from one to `most` changes, to another tenant, to another pod of the same one, or to nobody."""
    cuts = sorted(random.randrange(START + EDGE, END - EDGE) for _ in range(random.randint(0, most)))
    edges = [EVER[0], *cuts, EVER[1]]
    held = [(start, end, random.choice([*tenants, ""])) for start, end in pairwise(edges)]
    return [one for one in held if one[2]]


def _partition(gpu: Gpu, random: Random, tenants: Sequence[str]) -> None:
    """Whole until 6:00, then three instances, from 14:20 on two others that reuse an id, and whole again from 20:00."""
    first, then, last = during(6.004, 14.3), during(14.34, 19.96), during(20, 25)[0]
    whole = gpu.parts[0]
    whole.exists = (EVER[0], first[0])
    again = Part(exists=(last, EVER[1]), held=[(last, EVER[1], tenants[0])])
    layout = [
        *(("7", "1g.10gb", first), ("8", "1g.10gb", first), ("1", "3g.40gb", first)),
        *(("7", "2g.20gb", then), ("1", "4g.40gb", then)),
    ]
    gpu.parts = [whole, again]
    for gpu_i_id, profile, exists in layout:
        part = Part(gpu_i_id, profile, exists)
        cut = random.randrange(exists[0] + EDGE, exists[1] - EDGE)
        part.held = [(exists[0], cut, tenants[int(gpu_i_id) % len(tenants)]), (cut, exists[1], random.choice(tenants))]
        gpu.parts.append(part)

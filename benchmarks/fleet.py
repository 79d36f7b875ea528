"""A fleet's day as a Prometheus would have scraped it, and what it should be billed: 300 hosts with 8 GPUs each."""

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

from billing.core.period import DAY, HOUR, Seconds, Span, clip, subtract
from tests.parts import answers, free_port, program, wait_for

START = datetime(2026, 10, 14, tzinfo=UTC)
DAY_SPAN = Span(START, START + timedelta(days=1))
FIRST, LAST = DAY_SPAN.seconds
INTERVAL, MAX_GAP, MARGIN = 60, 150, 300
BLOCK = 2 * HOUR
PER_HOST = 8
SHORTEST_EXCLUSION = 900

Held = tuple[int, int, str, str]
"""From, to (epoch milliseconds), namespace, pod."""


@dataclass(slots=True)
class Gpu:
    """One GPU: what held it when, and when its host or itself could not be seen (seconds)."""

    labels: str
    uuid: str
    host: "Host"
    held: list[Held] = field(default_factory=list)
    gone: list[Seconds] = field(default_factory=list)

    def samples(self, within: Seconds) -> Iterator[tuple[int, str, str]]:
        """(ms, namespace, pod) of every sample inside a span of seconds."""
        hidden = [(a * 1000, b * 1000) for a, b in (*self.gone, *self.host.down)]
        for at in self.host.scrapes(within):
            if hidden and any(a <= at < b for a, b in hidden):
                continue
            yield at, *next(((name, pod) for a, b, name, pod in self.held if a <= at < b), ("", ""))


@dataclass(slots=True)
class Host:
    """One exporter. `lease` is the tenant that holds the whole host, and when."""

    number: int
    gpus: list[Gpu] = field(default_factory=list)
    down: list[Seconds] = field(default_factory=list)
    lease: tuple[str, Seconds] | None = None

    @property
    def name(self) -> str:
        return f"gpu-node-{self.number:03d}"

    @property
    def instance(self) -> str:
        return f"10.20.{self.number // 200}.{self.number % 200 + 10}:9400"

    def scrapes(self, within: Seconds) -> range:
        """When this host is scraped, in ms: a Prometheus keeps every target at an offset of its own."""
        step = INTERVAL * 1000
        offset = self.number * 7919 % step
        first = within[0] * 1000
        return range(first + (offset - first) % step, within[1] * 1000, step)


@dataclass(slots=True)
class Fleet:
    hosts: list[Host]
    tenants: list[str]
    leasing: list[str]
    span: Seconds = (FIRST, LAST)

    @property
    def gpus(self) -> list[Gpu]:
        return [gpu for host in self.hosts for gpu in host.gpus]


def fleet(hosts: int, days: int = 1) -> Fleet:
    """40 % of the hosts are let whole, half carry labels that flip now and then, the rest is idle. A few hosts go down, a
    few GPUs fall off their bus."""
    random = Random(20261014)
    made = Fleet([], [f"team-{n:02d}" for n in range(20)], [f"lessee-{n:02d}" for n in range(12)])
    made.span = (FIRST, FIRST + days * DAY)
    last = made.span[1]
    for number in range(hosts):
        host = Host(number)
        host.gpus = [_gpu(host, index, random) for index in range(PER_HOST)]
        made.hosts.append(host)
        if number % 10 < 4:
            span = (FIRST, last) if number % 3 else (FIRST + 23_417, last - 9_857)
            host.lease = (made.leasing[number // 10 % len(made.leasing)], span)
        elif number % 10 < 9:
            for gpu in host.gpus:
                gpu.held = _held(made.tenants, days, random)
        if number % 50 == 7:
            host.down = [_span(random, day, 1200, 2400) for day in range(days)]
        if number % 75 == 1:
            host.gpus[3].gone = [_span(random, day, 4000, 7000) for day in range(days)]
    return made


def _gpu(host: Host, index: int, random: Random) -> Gpu:
    uuid = f"GPU-{random.getrandbits(32):08x}-{host.number:04x}-4{index:03x}-8000-{random.getrandbits(48):012x}"
    labels = (
        f'gpu="{index}",UUID="{uuid}",pci_bus_id="00000000:{index * 16 + 10:02X}:00.0",device="nvidia{index}",'
        f'modelName="NVIDIA H100 80GB HBM3",Hostname="{host.name}",DCGM_FI_DRIVER_VERSION="570.124.06",'
        f'instance="{host.instance}",job="dcgm-exporter"'
    )
    return Gpu(labels, uuid, host)


def _span(random: Random, day: int, shortest: int, longest: int) -> Seconds:
    start = FIRST + day * DAY + random.randrange(HOUR, 20 * HOUR)
    return start, start + random.randrange(shortest, longest)


def _held(tenants: Sequence[str], days: int, random: Random) -> list[Held]:
    """On a day three GPUs of four keep their holder; the others change once or twice, some to idle."""
    cuts = [
        1000 * DAY * day + at
        for day in range(days)
        for at in sorted(random.sample(range(1000 * HOUR, 1000 * 23 * HOUR), random.choice([0, 0, 0, 0, 0, 0, 1, 2])))
    ]
    edges = [-1000 * MARGIN, *cuts, 1000 * (DAY * days + MARGIN)]
    held = []
    for start, end in pairwise(edges):
        name = random.choice(tenants)
        if cuts and random.random() < 0.2:
            continue  # idle for a while
        pod = f"{name}-train-{random.getrandbits(32):08x}-0"
        held.append((FIRST * 1000 + start, FIRST * 1000 + end, name, pod))
    return held


def billed_by_rule(made: Fleet) -> Counter[str]:
    """Seconds by tenant, by the window rule, one sample after the other: a second opinion on every second."""
    seconds: Counter[str] = Counter()
    for gpu in made.gpus:
        previous, missing = -(10**15), list[Seconds]()
        for at, name, _ in gpu.samples((made.span[0] - MARGIN, made.span[1] + MARGIN)):
            near = at - previous <= MAX_GAP * 1000
            start = (previous if near else at - INTERVAL * 1000) // 1000
            if not near:
                missing.append((previous // 1000, start))
            if span := clip((start, at // 1000), made.span):
                seconds[name] += span[1] - span[0]
            previous = at
        if gpu.host.lease is not None:
            tenant, let = gpu.host.lease
            long = [one for one in missing[1:] if gpu.gone and one[1] - one[0] >= SHORTEST_EXCLUSION]
            seconds[tenant] += sum(b - a for a, b in subtract([let], long))
    del seconds[""]
    return seconds


def truly_held(made: Fleet) -> tuple[Counter[str], int]:
    """Milliseconds by tenant that a label really held a GPU which could be seen, whenever the scrapes were; and how
    many edges the scrapes could only find to the nearest interval."""
    held: Counter[str] = Counter()
    edges = 0
    day = (made.span[0] * 1000, made.span[1] * 1000)
    for gpu in made.gpus:
        hidden = [(a * 1000, b * 1000) for a, b in (*gpu.gone, *gpu.host.down)]
        for start, end, name, _ in gpu.held:
            held[name] += sum(b - a for a, b in subtract([clip((start, end), day) or (0, 0)], hidden))
            edges += sum(day[0] < edge < day[1] for edge in (start, end)) + 2 * len(hidden)
    return held, edges


def backfill(made: Fleet, folder: Path) -> int:
    """Write the day (and a little before and after) as blocks of a Prometheus. Returns how many presence samples."""
    folder.mkdir(parents=True)
    starts = range((made.span[0] - MARGIN) // BLOCK * BLOCK, made.span[1] + MARGIN, BLOCK)
    with ThreadPoolExecutor(max_workers=2) as pool:  # promtool does the work
        return sum(pool.map(lambda start: _block(made, folder, start), starts))


def _block(made: Fleet, folder: Path, start: int) -> int:
    """One file of one block: promtool reads its whole input once for each block."""
    span = clip((start, start + BLOCK), (made.span[0] - MARGIN, made.span[1] + MARGIN))
    assert span is not None
    file, count = folder / f"{start}.om", 0
    with file.open("w") as out:
        out.write("# TYPE DCGM_FI_DEV_GPU_TEMP gauge\n")
        for gpu in made.gpus:
            series: dict[tuple[str, str], list[int]] = {}
            for at, name, pod in gpu.samples(span):
                series.setdefault((name, pod), []).append(at)
                count += 1
            for (name, pod), times in series.items():
                holder = f',namespace="{name}",pod="{pod}",container="main"' if name else ""
                prefix = f"DCGM_FI_DEV_GPU_TEMP{{{gpu.labels}{holder}}}"
                out.writelines(f"{prefix} {40 + at // 1000 % 37} {at // 1000}.{at % 1000:03d}\n" for at in times)
        out.write("# TYPE up gauge\n")
        for host in made.hosts:
            for at in host.scrapes(span):
                up = not any(a * 1000 <= at < b * 1000 for a, b in host.down)
                out.write(f'up{{instance="{host.instance}",job="dcgm-exporter"}} {up:d} {at // 1000}.{at % 1000:03d}\n')
        out.write("# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q", str(file), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True)
    file.unlink()
    return count


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A Prometheus on backfilled blocks, which it leaves as they are; yields its URL."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=2h",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/-/ready"), "Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait(20)

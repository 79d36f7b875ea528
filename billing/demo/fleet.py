"""A made-up fleet whose truth is known: which GPU was held by whom, when an exporter was silent, when a GPU was gone."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from billing.core.period import HOUR, Seconds, clip

GPUS: Final = 8
MODEL: Final = "NVIDIA H100 80GB HBM3"
METRICS: Final = (
    "SM_CLOCK",
    "MEM_CLOCK",
    "GPU_TEMP",
    "MEMORY_TEMP",
    "POWER_USAGE",
    "PCIE_REPLAY_COUNTER",
    "XID_ERRORS",
    "FB_FREE",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one host does: who holds it by label (empty: nobody), and how long a job lasts, in steps."""

    host: str
    label: str = ""
    job_steps: tuple[int, int] = (0, 0)


@dataclass
class Site:
    """Hosts that are sampled every `step` seconds over `span`. Everything follows from `seed`."""

    name: str
    span: Seconds
    step: int
    plans: list[Plan]
    seed: int = 1
    outages: dict[str, list[Seconds]] = field(default_factory=dict)
    gone: dict[str, list[Seconds]] = field(default_factory=dict)
    strays: dict[str, list[Seconds]] = field(default_factory=dict)
    """By GPU: when it carried a label that means no tenant."""
    _pages: dict[str, tuple[list[tuple[int, str, str]], bytes]] = field(default_factory=dict, repr=False)
    """By host: what its last page showed, and the page. Most pages are the same for hours."""

    def uuid(self, host: str, gpu: int) -> str:
        return f"GPU-{self.name}-{host}-{gpu}"

    @property
    def hosts(self) -> list[str]:
        return [plan.host for plan in self.plans]

    @cached_property
    def held(self) -> dict[str, list[tuple[int, int, str]]]:
        """By GPU: (start, end, label) of every job, on steps of the clock."""
        dice = random.Random(self.seed)
        jobs: dict[str, list[tuple[int, int, str]]] = {}
        for plan in self.plans:
            for gpu in range(GPUS):
                spans = []
                at = self.span[0]
                while plan.label and at < self.span[1]:
                    at += dice.randint(0, 3) * self.step
                    end = min(at + dice.randint(*plan.job_steps) * self.step, self.span[1])
                    if at < end:
                        spans.append((at, end, plan.label))
                    at = end + self.step
                jobs[self.uuid(plan.host, gpu)] = spans
        return jobs

    def label(self, uuid: str, at: int) -> str:
        """Who holds a GPU according to the sample at a time: the job that ran during the step before it."""
        if any(start < at <= end for start, end in self.strays.get(uuid, ())):
            return "mystery"
        jobs = self.held[uuid]
        before = bisect_left(jobs, (at,)) - 1  # the last one that began before that time
        return jobs[before][2] if before >= 0 and at <= jobs[before][1] else ""

    def page(self, host: str, at: int) -> bytes | None:
        """The exporter's page at a time; None when it is silent."""
        if any(start < at <= end for start, end in self.outages.get(host, ())):
            return None
        present = []
        for gpu in range(GPUS):
            uuid = self.uuid(host, gpu)
            if not any(start < at <= end for start, end in self.gone.get(uuid, ())):
                present.append((gpu, uuid, self.label(uuid, at)))
        shown, page = self._pages.get(host, ([], b""))
        if shown != present or not page:
            page = b"".join(_lines(host, present))
            self._pages[host] = (present, page)
        return page

    def truth(self, label: str) -> int:
        """GPU-seconds that a label really held, less what nobody could see."""
        total = 0
        for plan in self.plans:
            for gpu in range(GPUS):
                uuid = self.uuid(plan.host, gpu)
                unseen = [*self.outages.get(plan.host, ()), *self.gone.get(uuid, ()), *self.strays.get(uuid, ())]
                for start, end, name in self.held[uuid]:
                    if name == label:
                        lost = sum(c[1] - c[0] for hole in unseen if (c := clip(hole, (start, end))))
                        total += end - start - lost
        return total


def _lines(host: str, present: list[tuple[int, str, str]]) -> Iterator[bytes]:
    for metric in METRICS:
        name = f"DCGM_FI_DEV_{metric}"
        yield f"# HELP {name} A reading.\n# TYPE {name} gauge\n".encode()
        for gpu, uuid, label in present:
            holder = f',container="main",namespace="{label}",pod="job-{gpu}"' if label else ""
            yield (
                f'{name}{{gpu="{gpu}",UUID="{uuid}",pci_bus_id="00000000:{16 + gpu:02X}:00.0",device="nvidia{gpu}",'
                f'modelName="{MODEL}",Hostname="{host}"{holder}}} {30 + gpu}\n'
            ).encode()


def month_site(span: Seconds, *, small: bool) -> Site:
    """25 servers for a month in hourly steps: ten leased as bare metal, eight of one team, five of a reseller's customer,
    two idle. One GPU falls off the bus for six hours, one exporter is silent for three, one GPU runs something unknown."""
    leased, observed, resold, idle = (2, 1, 1, 0) if small else (10, 8, 5, 2)
    plans = [Plan(f"metal-{n:02}") for n in range(1, leased + 1)]
    plans += [Plan(f"kube-{n:02}", "beta-train", (5, 60)) for n in range(1, observed + 1)]
    plans += [Plan(f"inf-{n:02}", "delta-prod", (48, 400)) for n in range(1, resold + 1)]
    plans += [Plan(f"idle-{n:02}") for n in range(1, idle + 1)]
    site = Site("brisbane", span, HOUR, plans)
    day = span[0] + 9 * 24 * HOUR
    site.gone[site.uuid("metal-01", 3)] = [(day + 5 * HOUR, day + 11 * HOUR)]
    site.outages["kube-01"] = [(day + 30 * HOUR, day + 33 * HOUR)]
    site.strays[site.uuid("kube-01", 7)] = [(day + 60 * HOUR, day + 64 * HOUR)]
    return site


def live_site(span: Seconds, *, small: bool) -> Site:
    """300 servers for one hour, minute by minute: a hundred leased, the others under labels."""
    leased, observed = (10, 20) if small else (100, 200)
    plans = [Plan(f"hall-a-{n:03}") for n in range(1, leased + 1)]
    plans += [Plan(f"hall-b-{n:03}", "beta-train", (10, 60)) for n in range(1, observed + 1)]
    return Site("perth", span, 60, plans, seed=2)

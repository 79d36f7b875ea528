"""Slurm's accounting: who held how many GPUs of which nodes, from `sacct` or from files that it wrote.

GPUs are held from a run's start to its end, also while the job is suspended: Slurm gives them to nobody else meanwhile.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from billing.core.errors import Invalid, Unavailable
from billing.core.period import Seconds, at_second, clip, rfc3339
from billing.metering.holdings import EXACT, Known, Pool, holdings_of, margin, reading_of, unplaced_lines
from billing.metering.hostlist import expand
from billing.metering.placement import Claim, largest, place
from billing.metering.reading import Cadence, Reading
from billing.metering.sources import program, sacct
from billing.metering.sources.files import Folder, Stamp
from billing.metering.sources.sacct import Accounting, Kind, Record

ENVIRONMENT: Final = {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}
"""Times as epoch seconds: no zone, no hour that happens twice."""
_ARGUMENTS: Final = (
    "--allusers",
    "--allocations",
    "--duplicates",
    "--parsable2",
    f"--format={','.join(sacct.COLUMNS)}",
)


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """`command` runs sacct (times are appended to it), or `files` hold what it wrote. `inventory` says which GPUs a node
    has: {node: {kind: count}}; a node that is not in it has as many as jobs held at once. `model` is what GPUs without a
    type are."""

    name: str
    command: tuple[str, ...] = ("sacct",)
    files: tuple[str, ...] = ()
    label: str = "account"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    inventory: Mapping[str, Mapping[Kind, int]] = field(default_factory=dict)
    model: str = ""
    lag_seconds: int = 60
    timeout_seconds: int = 120


def inventory(gpus_per_node: Mapping[str, str | int]) -> dict[str, dict[Kind, int]]:
    """{`gpu[01-16]`: `h100:8`} by node. Several kinds are written `h100:4,a100:4`, as gres are. Raises Invalid."""
    nodes: dict[str, dict[Kind, int]] = {}
    for hosts, wanted in gpus_per_node.items():
        kinds: dict[Kind, int] = {}
        for part in str(wanted).lower().split(","):
            kind, _, count = part.strip().removeprefix("gpu:").rpartition(":")
            if not (count.isdecimal() and count.isascii() and 0 < int(count) <= 1024):
                raise Invalid(f"gpus_per_node says {wanted!r} for {hosts}", remedy="write it like 8 or h100:8")
            named = sacct.kind_of(kind) if kind else ("", "")
            kinds[named] = kinds.get(named, 0) + int(count)
        for node in expand(hosts):
            if node in nodes:
                raise Invalid(f"gpus_per_node names {node} twice")
            nodes[node] = kinds
    return nodes


class SlurmSource:
    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._style = sacct.Style(settings.label, settings.zone)
        self._folder = Folder(settings.name, settings.files, self._decoded)

    def close(self) -> None:
        """Nothing stays open."""

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return EXACT

    @property
    def lag_seconds(self) -> int:
        return self._settings.lag_seconds

    def ping(self) -> str:
        """What it knows at the moment, for `doctor`."""
        if self._settings.files:
            found = [accounting for _, (accounting, _) in self._folder.read()]
            return f"{len(found)} files, {sum(len(one.records) for one in found)} runs of jobs with GPUs"
        return f"sacct answers, {len(self._asked('now-3600', 'now').records)} runs of jobs with GPUs in the last hour"

    def read(self, window: Seconds) -> Reading:
        """All runs that touch a window, each on GPUs of its nodes."""
        wide = margin(window)
        if self._settings.files:
            accounting = self._filed(window)
        else:
            accounting = self._asked(*(rfc3339(at_second(at)).removesuffix("Z") for at in wide))
        records = [one for one in accounting.records if clip((one.start, one.end or wide[1]), wide)]
        claims, problems = self._claims(records, wide)
        pools = self._pools(claims, wide)
        placed = place(claims, {pool: known.size for pool, known in pools.items()})
        reading = reading_of(window, holdings_of(self.name, placed, pools), {self.name: [wide]})
        reading.corrects = True
        reading.samples = len(records)
        reading.problems.update(accounting.problems, problems, unplaced_lines(placed, window, "job"))
        return reading

    def _asked(self, start: str, end: str) -> Accounting:
        command = [*self._settings.command, *_ARGUMENTS, f"--starttime={start}", f"--endtime={end}"]
        return sacct.parse(
            program.output(command, environment=ENVIRONMENT, timeout_seconds=self._settings.timeout_seconds),
            self._style,
        )

    def _decoded(self, content: bytes, stamp: Stamp) -> tuple[Accounting, Seconds]:
        """A file, and what it covers: by its first line, or from its earliest end of a job until it was written."""
        found = sacct.parse(content, self._style)
        if found.covers is not None:
            return found, found.covers
        return found, (stamp.written if found.earliest_end is None else found.earliest_end, stamp.written)

    def _filed(self, window: Seconds) -> Accounting:
        """The file that covers a window; of several, the one that was written for the latest time.

        A file says nothing about jobs that ended before it begins or began after it was written; so it is not asked.
        """
        covering = [
            (covers, path, accounting)
            for path, (accounting, covers) in self._folder.read()
            if covers[0] <= window[0] and window[1] <= covers[1]
        ]
        if not covering:
            spans = [f"{path.name} {_shown(covers)}" for path, (_, covers) in self._folder.read()]
            raise Unavailable(
                f"source {self.name}: no file covers {_shown(window)} ({'; '.join(spans[:3])})",
                remedy="write newer ones, or begin each with a line: # covers START END (RFC 3339)",
            )
        covers, _, accounting = max(covering, key=lambda one: (one[0][1], one[1]))
        ended = [
            Record(one.job, one.label, one.start, one.end or covers[1], one.gpus, one.nodes)
            for one in accounting.records
        ]
        return Accounting([one for one in ended if one.start <= (one.end or 0)], accounting.problems)

    def _claims(self, records: Iterable[Record], wide: Seconds) -> tuple[list[Claim[Pool]], set[str]]:
        claims: list[Claim[Pool]] = []
        problems: set[str] = set()
        for one in records:
            for (kind, profile), count in one.gpus:
                pools = self._pools_of(one.nodes, kind, profile, problems)
                span = (one.start, wide[1] if one.end is None else one.end)
                if not pools:
                    problems.add(
                        f"job {one.job} holds {count} GPUs of no type on {one.nodes[0]}, which has several types, not billed;"
                        " let Slurm account for gres/gpu:TYPE"
                    )
                elif span[0] < span[1]:
                    key = "/".join(part for part in (one.job, kind, profile) if part)
                    claims.append(Claim(span, key, one.label, tuple(pools), count))
        return claims, problems

    def _pools_of(self, nodes: Sequence[str], kind: str, profile: str, problems: set[str]) -> list[Pool]:
        """Where a job's GPUs of one kind may be. What sacct says beats the settings; where they differ is a problem."""
        fitting: list[Pool] = []
        strange: list[Pool] = []
        for node in nodes:
            known = self._settings.inventory.get(node)
            if known is None:
                if self._settings.inventory:
                    problems.add(f"{node} is not in gpus_per_node: its idle GPUs are not seen")
                fitting.append(Pool(node, kind, profile))
                continue
            like = [name for name in known if name[1] == profile]
            if (kind, profile) in known:
                fitting.append(Pool(node, kind, profile))
            elif len(like) == 1 and "" in (kind, like[0][0]):
                fitting.append(Pool(node, *like[0]))
            elif kind:
                strange.append(Pool(node, kind, profile))
        if fitting or not strange:
            return fitting
        problems.update(
            f"gpus_per_node knows no {kind} on {pool.node}: what jobs held there counts" for pool in strange
        )
        return strange

    def _pools(self, claims: Sequence[Claim[Pool]], wide: Seconds) -> dict[Pool, Known]:
        pools = {
            Pool(node, *kind): self._known(kind[0], count, wide)
            for node, kinds in self._settings.inventory.items()
            for kind, count in kinds.items()
        }
        held: dict[Pool, list[Claim[Pool]]] = defaultdict(list)
        for claim in claims:
            for pool in claim.pools:
                held[pool].append(claim)
        inside = [
            Claim(cut, one.key, one.label, one.pools, one.count) for one in claims if (cut := clip(one.span, wide))
        ]
        for pool, size in largest(inside).items():
            if pool not in pools:
                pools[pool] = self._known(pool.kind, size, wide)
        return pools

    def _known(self, kind: str, size: int, wide: Seconds) -> Known:
        return Known(kind or self._settings.model or "unknown", size, [(*wide, size)])


def _shown(span: Seconds) -> str:
    return f"{rfc3339(at_second(span[0]))} to {rfc3339(at_second(span[1]))}"

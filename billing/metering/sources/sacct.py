"""Decodes `sacct --parsable2`: job records with GPUs, when they ran, where, and for whom."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing.core.errors import Invalid, Untrusted
from billing.core.period import EPOCH, FOREVER, Seconds, epoch_seconds, parse_time
from billing.metering.holdings import is_plain
from billing.metering.hostlist import expand

COLUMNS: Final = (
    "JobIDRaw", "Cluster", "Account", "User", "Partition", "QOS", "State", "Start", "End", "Elapsed", "Suspended",
    "AllocTRES", "NodeList",
)  # fmt: skip
LABELS: Final = ("account", "user", "partition", "qos")
LINE_CHARACTERS_MAX: Final = 1 << 20
GPUS_MAX: Final = 1_000_000

_NEEDED: Final = ("account", "state", "start", "end", "alloctres", "nodelist")
_OPEN: Final = frozenset(
    ["RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"]
)  # states of a job that has its GPUs and no end yet
_NEVER: Final = frozenset({"PENDING", "REVOKED"})
_NO_TIME: Final = frozenset({"", "unknown", "none", "0", "invalid"})
_NO_NODES: Final = frozenset({"", "none assigned", "(null)", "none", "unknown", "n/a"})
_GPU: Final = re.compile(r"gres/gpu(?::([^=]+))?=(\d{1,9})")
_MIG: Final = re.compile(r"(?:(.*?)[_.-])?(\dg\.\d+gb(?:[+.].*)?)")
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9._+-]{0,60}")
_DURATION: Final = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2})(?:\.\d+)?")
_COVERS: Final = re.compile(r"#\s*covers\s+(\S+)\s+(\S+)\s*")
_TOP: Final = epoch_seconds(FOREVER)

Kind = tuple[str, str]
"""A type of GPU as gres names it, and a MIG profile; each may be empty."""


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one job. `end` is None while it lasts; `gpus` are those of all its nodes together."""

    job: str
    label: str
    start: int
    end: int | None
    gpus: tuple[tuple[Kind, int], ...]
    nodes: tuple[str, ...]


@dataclass(slots=True)
class Accounting:
    """What an output says. `covers` is its own word on what it covers, if it gives one."""

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    covers: Seconds | None = None
    earliest_end: int | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """How an output is read: the column that names the tenant, and the zone of times without an offset."""

    label: str
    zone: ZoneInfo


def parse(content: bytes, style: Style) -> Accounting:
    """All runs of jobs that held GPUs. A line that cannot be understood becomes a problem, and holds nothing.

    Raises Untrusted for what is no output of sacct, or only half of one.
    """
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    if "\0" in text:
        raise Untrusted("this is binary, not the output of sacct --parsable2")
    if not text.endswith("\n"):
        raise Untrusted("the output of sacct is cut off" if text else "the output of sacct is empty, without a header")
    found = Accounting()
    columns: list[str] | None = None
    seen: dict[tuple[str, int], Record] = {}
    clusters: set[str] = set()
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        if len(line) > LINE_CHARACTERS_MAX:
            raise Untrusted(f"line {number} is longer than {LINE_CHARACTERS_MAX} characters")
        line = line.removesuffix("\r")  # noqa: PLW2901
        if columns is None:
            if match := _COVERS.fullmatch(line):
                found.covers = _covered(match)
            elif line.strip() and not line.startswith("#"):
                columns = _header(line)
            continue
        if not line.strip():
            continue
        try:
            row = _row(line, columns)
            clusters.add(row.get("cluster", ""))
            record = _record(row, style, found)
        except Invalid as error:
            found.problems.append(f"line {number}: {error}")
            continue
        if record is not None:
            _keep(record, seen, found)
    if columns is None:
        raise Untrusted("the output of sacct is empty, without a header")
    if len(clusters) > 1:
        raise Untrusted(f"records of several clusters ({', '.join(sorted(clusters)[:3])}): one source for each")
    found.records = list(seen.values())
    return found


def _covered(match: re.Match[str]) -> Seconds:
    try:
        start, end = (epoch_seconds(parse_time(text)) for text in match.groups())
    except Invalid as error:
        raise Untrusted(str(error)) from error
    return start, end


def _header(line: str) -> list[str]:
    columns = [name.strip().lower() for name in line.split("|")]
    missing = [name for name in _NEEDED if name not in columns]
    if "jobidraw" not in columns and "jobid" not in columns:
        missing.insert(0, "jobidraw")
    if missing:
        raise Untrusted(f"no header of sacct --parsable2 with the columns {', '.join(missing)}: {line[:80]!r}")
    return columns


def _row(line: str, columns: Sequence[str]) -> dict[str, str]:
    values = [value.strip() for value in line.split("|")]
    if len(values) != len(columns):
        raise Invalid(f"{len(values)} fields under {len(columns)} headings")
    return dict(zip(columns, values, strict=True))


def _record(row: Mapping[str, str], style: Style, found: Accounting) -> Record | None:
    """The record of a row; None when it held no GPU: a step, a job that has not begun, a job without GPUs."""
    job = row.get("jobidraw") or row.get("jobid", "")
    state = row["state"].partition(" ")[0].rstrip("+").upper()
    if "." in job or state in _NEVER:
        return None
    start, end, doubt = _times(row, style.zone)
    if end is not None and (found.earliest_end is None or end < found.earliest_end):
        found.earliest_end = end
    gpus = gpus_of(row["alloctres"])
    if not gpus or start is None or row["nodelist"].lower() in _NO_NODES:
        return None
    if end is None and state not in _OPEN:
        raise Invalid(f"job {job} is {state or 'in no state'} and has no end")
    if end is not None and end < start:
        raise Invalid(f"job {job} ends before it starts")
    if doubt:
        found.problems.append(f"job {job}: a time happened twice when clocks were set back; the shorter time counts")
    label = row.get(style.label, "")
    if not is_plain(job) or not is_plain(label):
        raise Invalid(f"job {job[:40]!r} has no {style.label} that is plain text")
    return Record(job, label, start, end, gpus, tuple(expand(row["nodelist"])))


def _keep(record: Record, seen: dict[tuple[str, int], Record], found: Accounting) -> None:
    """Runs of one job each count; the same run twice (a file with two outputs) counts once, with the end that is known."""
    key = (record.job, record.start)
    known = seen.get(key)
    if known is None or known.end is None:
        seen[key] = record
    elif record.end is not None and record != known:
        found.problems.append(f"job {record.job} has two records of one run that differ; the first one counts")


def gpus_of(tres: str) -> tuple[tuple[Kind, int], ...]:
    """GPUs by kind of an AllocTRES text. `gres/gpu=8,gres/gpu:h100=8` are eight H100, not sixteen GPUs: typed entries say
    what the untyped one counts; what it counts beyond them has no type."""
    typed: dict[Kind, int] = {}
    untyped = 0
    for part in tres.lower().split(","):
        match = _GPU.fullmatch(part.strip())
        if match is None:
            if part.strip().startswith(("gres/gpu=", "gres/gpu:")):
                raise Invalid(f"{part[:60]!r} is no number of GPUs")
            continue
        kind, count = match.group(1), int(match.group(2))
        if count > GPUS_MAX:
            raise Invalid(f"{part[:60]!r} is more than {GPUS_MAX} GPUs")
        if kind is None:
            untyped = max(untyped, count)
        else:
            named = kind_of(kind)
            typed[named] = typed.get(named, 0) + count
    if (rest := untyped - sum(typed.values())) > 0:
        typed["", ""] = rest
    return tuple(sorted((kind, count) for kind, count in typed.items() if count))


def kind_of(text: str) -> Kind:
    """`h100` is a whole GPU; `h100_1g.10gb` is an instance of one."""
    match = _MIG.fullmatch(text)
    kind, profile = (match.group(1) or "", match.group(2)) if match else (text, "")
    if kind and not _KIND.fullmatch(kind):
        raise Invalid(f"{text[:60]!r} is no type of GPU")
    return kind, profile


def _times(row: Mapping[str, str], zone: ZoneInfo) -> tuple[int | None, int | None, bool]:
    """(start, end, doubt). Of an hour that happened twice, the time that fits the elapsed time counts; when both or
    neither do, the later start and the earlier end, with doubt."""
    starts, ends = _moments(row["start"], zone), _moments(row["end"], zone)
    if not starts or not ends:
        return max(starts, default=None), min(ends, default=None), len(starts) + len(ends) > 1
    elapsed = _duration(row.get("elapsedraw") or row.get("elapsed", ""))
    if elapsed is None:
        return max(starts), min(ends), len(starts) + len(ends) > 2
    wanted = elapsed + (_duration(row.get("suspended", "")) or 0)
    pairs = sorted((abs(end - start - wanted), -start, end) for start in starts for end in ends)
    doubt = len(pairs) > 1 and pairs[0][0] == pairs[1][0]
    return -pairs[0][1], pairs[0][2], doubt


def _moments(text: str, zone: ZoneInfo) -> list[int]:
    """The epoch seconds that a time may mean: none for Unknown, two for a local time that happened twice."""
    if text.lower() in _NO_TIME:
        return []
    if text.isdecimal() and text.isascii():
        if len(text) > 12 or int(text) >= _TOP:
            raise Invalid(f"{text[:20]!r} is no time between 1970 and 9998")
        return [int(text)]
    try:
        naive = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text[:40]!r} is no time") from None
    if naive.tzinfo is not None:
        return [epoch_seconds(parse_time(text))]
    if not EPOCH.year < naive.year < FOREVER.year - 1:
        raise Invalid(f"{text[:40]!r} is no time between 1970 and 9998")
    found = set(_on_clock(naive, zone))
    if not found:
        raise Invalid(f"{text!r} did not happen in {zone.key}", remedy="see metering.sources.timezone")
    return sorted(found)


def _on_clock(naive: datetime, zone: ZoneInfo) -> Iterator[int]:
    for fold in (0, 1):
        at = naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) == naive:
            yield epoch_seconds(at)


def _duration(text: str) -> int | None:
    if text.isdecimal() and text.isascii() and len(text) < 12:
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

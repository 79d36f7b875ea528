"""Half-open spans of time: `[start, end)`, aware UTC. Inside metering the same spans are pairs of whole epoch seconds."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from billing.core.clock import as_utc
from billing.core.errors import Invalid

Seconds = tuple[int, int]
"""A half-open span as whole epoch seconds: (start, end)."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of what has no end yet. A real value keeps spans comparable; nothing is billed up to it."""

HOUR: Final = 3600
DAY: Final = 86400
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From `start` until just before `end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.start >= self.end:
            raise Invalid(f"the period from {rfc3339(self.start)} to {rfc3339(self.end)} is empty or reversed")

    @property
    def seconds(self) -> Seconds:
        return epoch_seconds(self.start), epoch_seconds(self.end)

    @property
    def is_open(self) -> bool:
        """No end has been set yet."""
        return self.end >= FOREVER

    def contains(self, at: datetime) -> bool:
        return self.start <= at < self.end

    def overlap(self, other: "Span") -> "Span | None":
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end) if start < end else None

    @classmethod
    def from_seconds(cls, seconds: Seconds) -> "Span":
        return cls(at_second(seconds[0]), at_second(seconds[1]))

    def __str__(self) -> str:
        return f"{rfc3339(self.start)} to {'open' if self.is_open else rfc3339(self.end)}"


def epoch_seconds(at: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return (at - EPOCH) // timedelta(seconds=1)


def at_second(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


def rfc3339(at: datetime) -> str:
    """`2026-10-01T00:00:00Z`; a fraction only when there is one."""
    return as_utc(at).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with its offset, or a bare date, which is its midnight in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a time", remedy="write it like 2026-10-01T00:00:00Z") from None
    if at.tzinfo is None:
        if len(text) > len("2026-10-01"):
            raise Invalid(f"{text!r} has no offset from UTC", remedy="append Z for UTC")
        at = at.replace(tzinfo=UTC)
    try:
        at = as_utc(at)
    except OverflowError:
        at = FOREVER + timedelta(days=1)
    if not EPOCH <= at <= FOREVER:
        raise Invalid(f"{text!r} is out of range", remedy="times are from 1970 to 9998")
    return at


def month(year: int, number: int) -> Span:
    """The calendar month, in UTC."""
    start = datetime(year, number, 1, tzinfo=UTC)
    return Span(start, (start + timedelta(days=31)).replace(day=1))


def month_of(at: datetime) -> Span:
    at = as_utc(at)
    return month(at.year, at.month)


def parse_month(text: str) -> Span:
    """`2026-10` is that month in UTC."""
    match = _MONTH.fullmatch(text)
    if match is None or not 2000 <= int(match.group(1)) <= 2999:
        raise Invalid(f"{text!r} is not a period", remedy="write a month like 2026-10")
    return month(int(match.group(1)), int(match.group(2)))


def parse_period(text: str) -> Span:
    """A month like `2026-10`, or any span as `2026-10-05..2026-10-12` (dates or times; the end is not part of it)."""
    start, dots, end = text.partition("..")
    if not dots:
        return parse_month(text)
    return Span(parse_time(start), parse_time(end))


def month_starts(within: Seconds) -> list[int]:
    """The first seconds of all UTC months that begin strictly inside `within`."""
    starts = []
    current = month_of(at_second(within[0]))
    while (start := epoch_seconds(current.end)) < within[1]:
        starts.append(start)
        current = month_of(current.end)
    return starts


def windows(span: Seconds, length: int) -> Iterator[Seconds]:
    """Cut `span` into windows of `length` seconds, aligned to multiples of it."""
    start = span[0]
    while start < span[1]:
        end = min(start - start % length + length, span[1])
        yield start, end
        start = end


def clip(span: Seconds, to: Seconds) -> Seconds | None:
    start, end = max(span[0], to[0]), min(span[1], to[1])
    return (start, end) if start < end else None


def merge(spans: Iterable[Seconds]) -> list[Seconds]:
    """The union, as few disjoint spans as possible, in order."""
    merged: list[Seconds] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return merged


def subtract(spans: Iterable[Seconds], holes: Iterable[Seconds]) -> list[Seconds]:
    """The parts of `spans` that no hole covers, merged and in order."""
    cuts = merge(holes)
    left: list[Seconds] = []
    for start, end in merge(spans):
        at = start
        for hole_start, hole_end in cuts:
            if hole_end <= at:
                continue
            if hole_start >= end:
                break
            if hole_start > at:
                left.append((at, hole_start))
            at = hole_end
        if at < end:
            left.append((at, end))
    return left


def length(spans: Iterable[Seconds]) -> int:
    """Seconds in all, of spans that do not overlap."""
    return sum(end - start for start, end in spans)

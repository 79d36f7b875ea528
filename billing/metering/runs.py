"""Runs: what holds during a span, kept as few rows as possible. Rewriting a window grows, drops and adds rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

from billing.core.period import Seconds

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Row(Generic[V]):
    """A stored run."""

    id: int
    start: int
    end: int
    value: V


@dataclass(slots=True)
class Change(Generic[V]):
    """How stored runs become the wanted ones: `drop` ids first, then `grow` (id, new end), then `add` (start, end, value)."""

    drop: list[int] = field(default_factory=list)
    grow: list[tuple[int, int]] = field(default_factory=list)
    add: list[tuple[int, int, V]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.drop or self.grow or self.add)


def splice(
    rows: Sequence[Row[V]], window: Seconds, segments: Iterable[tuple[int, int, V]], cuts: Sequence[int] = ()
) -> Change[V]:
    """Make `segments` the truth inside `window` and leave everything outside as it is.

    `rows` are the stored runs that overlap or touch the window, `segments` lie inside it; neither overlap among
    themselves. Equal neighbours merge, except across `cuts` (starts of months), so that rows of a closed period never
    change. A row that only gets longer at its end grows; every other difference drops rows and adds new ones.
    """
    start, end = window
    pieces = list(segments)
    for row in rows:
        if row.start < start:
            pieces.append((row.start, min(row.end, start), row.value))
        if row.end > end:
            pieces.append((max(row.start, end), row.end, row.value))
    wanted: list[tuple[int, int, V]] = []
    edges = set(cuts)
    for piece in sorted(pieces, key=lambda one: one[0]):
        for part in _cut(piece, cuts):
            if wanted and wanted[-1][1] == part[0] and wanted[-1][2] == part[2] and part[0] not in edges:
                wanted[-1] = (wanted[-1][0], part[1], part[2])
            else:
                wanted.append(part)
    change: Change[V] = Change()
    by_start = {row.start: row for row in rows}
    kept: set[int] = set()
    for lo, hi, value in wanted:
        known = by_start.get(lo)
        if known is not None and known.value == value and known.end <= hi:
            kept.add(known.id)
            if known.end < hi:
                change.grow.append((known.id, hi))
        else:
            change.add.append((lo, hi, value))
    change.drop = [row.id for row in rows if row.id not in kept]
    return change


def touched(rows: Sequence[Row[V]], change: Change[V]) -> list[Seconds]:
    """The time in which a change makes a difference, or may: what runs gained, and all of those that were dropped or added."""
    by_id = {row.id: row for row in rows}
    spans = [(start, end) for start, end, _ in change.add]
    spans += [(by_id[row_id].end, end) for row_id, end in change.grow]
    return spans + [(by_id[row_id].start, by_id[row_id].end) for row_id in change.drop]


def _cut(piece: tuple[int, int, V], cuts: Sequence[int]) -> list[tuple[int, int, V]]:
    start, end, value = piece
    edges = [start, *sorted({at for at in cuts if start < at < end}), end]
    return [(lo, hi, value) for lo, hi in pairwise(edges)]

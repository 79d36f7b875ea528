"""One GPU: a month of days, then everything that stands about a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.core.period import Span, month_of, parse_month
from billing.fleet.gpu import SLOTS
from billing.metering.conservation import Category
from billing.metering.store import heat
from billing.metering.store.heat import Cell
from billing.web import format as write
from billing.web.deps import Web
from billing.web.desk.nav import Link
from billing.web.desk.operations_fleet import percent_text
from billing.web.desk.operations_query import CLASSES, DAY, HOME, LETTERS, TROUBLES, Reader, day_at, day_text, midnight
from billing.web.desk.shell import Head, page

router = APIRouter(include_in_schema=False)

FLEET: Final = Link("Fleet", "/operations/fleet")
WIDE: Final = 960
STRIP: Final = 144
LABEL: Final = 150
"""Of a drawing, in its own units: the hours, a small bar, and what names a lane."""


class GpuAsked(BaseModel):
    """A month, or a day of it; without both the newest day that was added up."""

    model_config = ConfigDict(extra="forbid")

    month: str = Field(default="", max_length=7)
    day: str = Field(default="", max_length=10)


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a drawing: `kind` is a class of the style sheet, `title` what it says."""

    kind: str
    x: int
    width: int
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    name: str
    bars: Sequence[Bar]


@router.get("/operations/fleet/gpus/{gpu}")
def one_gpu(
    web: Web, visitor: Reader, gpu: Annotated[int, Path(ge=1, lt=2**63)], asked: Annotated[GpuAsked, Query()]
) -> Response:
    with web.database.transaction() as session:
        known = heat.gpu(session, gpu)
        day = day_at(asked.day) if asked.day else None
        newest = heat.newest_day(session) or midnight(web.clock.now())
        month = parse_month(asked.month) if asked.month and day is None else month_of(day or newest)
        stored = heat.by_day(session, gpu, month)
        standing = heat.intervals(session, gpu, Span(day, day + DAY)) if day is not None else None
    context: dict[str, Any] = {
        "gpu": known, "month": month, "days": [_day(at, stored.get(at)) for at in _days(month, web.clock.now())],
        "month_before": f"{month.start - DAY:%Y-%m}", "month_after": f"{month.end:%Y-%m}", "day": day, "wide": WIDE,
        "left": LABEL,
    }  # fmt: skip
    crumbs = [HOME, FLEET]
    title = write.short(known["uuid"])
    if day is None or standing is None:
        return page(web, visitor, "desk/operations_gpu.html", Head(title, crumbs), context)
    crumbs.append(Link(title, f"/operations/fleet/gpus/{gpu}?month={month.start:%Y-%m}"))
    context |= {
        "standing": standing, "lanes": lanes(standing, day), "cell": stored.get(day), "parts_of_day": _parts(stored.get(day)),
        "before": day_text(day - DAY), "after": day_text(day + DAY), "most": heat.ROWS_MAX,
    }  # fmt: skip
    return page(web, visitor, "desk/operations_gpu_day.html", Head(write.day(day), crumbs), context)


def _days(month: Span, now: datetime) -> list[datetime]:
    found, at = [], month.start
    while at < month.end and at <= now:
        found.append(at)
        at += timedelta(days=1)
    return found


def _day(at: datetime, cell: Cell | None) -> dict[str, Any]:
    """A line of the month."""
    if cell is None:
        return {"at": at, "text": day_text(at), "cell": None}
    odd = [(one, cell.amounts[one]) for one in TROUBLES if cell.amounts[one]]
    return {
        "at": at, "text": day_text(at), "cell": cell, "kind": CLASSES[cell.main], "letter": LETTERS[cell.main],
        "billed": write.hours(cell.amounts[Category.BILLED] // SLOTS), "whole": write.hours(cell.whole // SLOTS),
        "odd": ", ".join(f"{one.value} {percent_text(n, cell.whole)}" for one, n in odd), "bars": strip(cell),
    }  # fmt: skip


def strip(cell: Cell) -> list[Bar]:
    """The day's time by where it went, side by side."""
    bars, done = [], 0
    for one in LETTERS:
        start = done * STRIP // cell.whole if cell.whole else 0
        done += cell.amounts[one]
        end = done * STRIP // cell.whole if cell.whole else 0
        if end > start:
            bars.append(Bar(CLASSES[one], start, end - start, one.value))
    return bars


def _parts(cell: Cell | None) -> list[tuple[str, str, str]]:
    if cell is None:
        return []
    return [
        (one.value, write.hours(n // SLOTS), percent_text(n, cell.whole))
        for one in LETTERS if (n := cell.amounts[one])
    ]  # fmt: skip


def lanes(standing: Mapping[str, Sequence[Mapping[str, Any]]], day: datetime) -> list[Lane]:
    """What is drawn of a day: what was seen of each device, who held it, and what is billed and is not."""
    found = []
    for (source, device), rows in _by(standing["seen"], "source", "device").items():
        name = source if device == "whole" else f"{source} {device}"
        found.append(Lane(f"seen: {name}", [_bar(_seen_kind(row), row, day, seen_text(row)) for row in rows]))
    if standing["leases"]:
        bars = [_bar("p", row, day, f"let to {row['tenant']} ({row['reference']})") for row in standing["leases"]]
        found.append(Lane("lease", bars))
    for (device,), rows in _by(standing["usage"], "device").items():
        name = "billed" if device == "whole" else f"billed: {device}"
        found.append(Lane(name, [_bar("b", row, day, f"{row['tenant']}, {because(row)}") for row in rows]))
    if standing["exclusions"]:
        bars = [
            _bar("e" if row["state"] == "accepted" else "u", row, day, f"{row['state']}: {row['reason']}")
            for row in standing["exclusions"]
        ]
        found.append(Lane("exclusions", bars))
    if standing["disputes"]:
        found.append(Lane("disputes", [_bar("d", row, day, ", ".join(row["labels"])) for row in standing["disputes"]]))
    return found


def _by(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def _bar(kind: str, row: Mapping[str, Any], day: datetime, title: str) -> Bar:
    start, end = (int((row[name] - day).total_seconds()) for name in ("start", "until"))
    x = start * WIDE // 86_400
    until = "24:00" if end == 86_400 else f"{row['until']:%H:%M:%S}"
    return Bar(kind, x, max(1, end * WIDE // 86_400 - x), f"{row['start']:%H:%M:%S} to {until}: {title}")


def _seen_kind(row: Mapping[str, Any]) -> str:
    if row["state"] == "present":
        return "b" if row["labels"] else "i"
    return "m" if row["state"] == "missing" else "q"


def seen_text(row: Mapping[str, Any]) -> str:
    """`present under research`, `idle`, `blind: no answer from the exporter`."""
    if row["state"] == "present":
        return f"present under {', '.join(row['labels'])}" if row["labels"] else "present, no label"
    return f"{row['state']}: {row['reason']}" if row["reason"] else str(row["state"])


def because(row: Mapping[str, Any]) -> str:
    """Why somebody is billed."""
    if row["lease"]:
        return f"lease {row['lease']}"
    return (
        f"gap bridged, label seen by {row['source']} before and after"
        if row["bridged"]
        else f"label seen by {row['source']}"
    )

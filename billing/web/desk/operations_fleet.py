"""The heat map: every GPU of the fleet on some days, one cell each. It is written by hand-made markup, for it is large."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from markupsafe import Markup
from pydantic import Field

from billing.core.errors import Invalid
from billing.core.period import Span
from billing.fleet.gpu import SLOTS
from billing.metering.conservation import Category
from billing.metering.store import heat, readings
from billing.metering.store.heat import Cell
from billing.web import format as write
from billing.web.deps import Web
from billing.web.desk.operations_query import (
    CLASSES,
    DAY,
    HOME,
    LETTERS,
    MEANS,
    TROUBLES,
    AskedDays,
    Reader,
    day_text,
    last_day,
    midnight,
)
from billing.web.desk.shell import Head, page

router = APIRouter(include_in_schema=False)

DAYS_MAX: Final = 92


class FleetAsked(AskedDays):
    source: str = Field(default="", max_length=100)
    where: str = Field(default="", max_length=200)
    state: str = Field(default="", max_length=20)


@dataclass(frozen=True, slots=True)
class Row:
    """A server. `cells` is markup; `billed` in percent of its GPUs' time."""

    host: str
    cells: Markup
    gpus: int
    billed: int


@dataclass(frozen=True, slots=True)
class Site:
    source: str
    gpus: int
    rows: Sequence[Row]


@router.get("/operations/fleet")
def fleet(web: Web, visitor: Reader, asked: Annotated[FleetAsked, Query()]) -> Response:
    """Where every GPU's time went."""
    chosen = state_of(asked.state)
    with web.database.transaction() as session:
        newest = heat.newest_day(session) or midnight(web.clock.now()) - DAY
        span = asked.span(Span(newest, newest + DAY), DAYS_MAX)
        cells = heat.cells(session, span, source=asked.source, where=asked.where)
        waiting = heat.waiting(session, span)
        sources = list(readings.sources(session))
    shown = cells if chosen is None else [one for one in cells if one.amounts[chosen]]
    context = {
        "span": span, "first": day_text(span.start), "last": day_text(last_day(span)), "asked": asked,
        "sources": [("", "all"), *((name, name) for name in sources)], "states": _choices(),
        "totals": totals(cells, asked), "sites": sites(shown, day_text(last_day(span))),
        "servers": len({one.host for one in shown}),
        "gpus": len(shown), "waiting": waiting, "legend": legend(), "cut": len(cells) == heat.CELLS_MAX,
        "today": midnight(web.clock.now()), "before": _beside(asked, span, -1), "after": _beside(asked, span, 1),
    }  # fmt: skip
    return page(web, visitor, "desk/operations_fleet.html", Head("Fleet", (HOME,)), context)


def state_of(text: str) -> Category | None:
    if not text:
        return None
    try:
        return Category(text)
    except ValueError:
        raise Invalid(f"{text!r} is no state", remedy="one of " + ", ".join(Category)) from None


def _choices() -> list[tuple[str, str]]:
    return [("", "any"), *((one.value, one.value) for one in LETTERS)]


def _beside(asked: FleetAsked, span: Span, step: int) -> str:
    """The link to as many days before, or after."""
    length = (span.end - span.start) * step
    days = {"from": day_text(span.start + length), "to": day_text(last_day(span) + length)}
    kept = {name: value for name in ("source", "where", "state") if (value := getattr(asked, name))}
    return "/operations/fleet?" + urlencode({**days, **kept})


def legend() -> list[tuple[str, str, str, str]]:
    """(class, letter, name, meaning)."""
    return [(CLASSES[one], letter, one.value, MEANS[one]) for one, letter in LETTERS.items()]


def totals(cells: Iterable[Cell], asked: FleetAsked) -> list[dict[str, Any]]:
    """What each state comes to, with the link to the GPUs that have some of it."""
    sums = dict.fromkeys(LETTERS, 0)
    whole = 0
    for cell in cells:
        whole += cell.whole
        for category in sums:
            sums[category] += cell.amounts[category]
    kept = {"from": asked.first, "to": asked.last, "source": asked.source, "where": asked.where}
    return [
        {
            "name": one.value, "hours": write.hours(amount // SLOTS), "part": percent_text(amount, whole),
            "tone": "care" if one in TROUBLES and amount else "",
            "href": "/operations/fleet?" + urlencode({**{k: v for k, v in kept.items() if v}, "state": one.value}),
        }
        for one, amount in sums.items() if amount or one in (Category.BILLED, Category.IDLE)
    ]  # fmt: skip


def percent_text(amount: int, whole: int) -> str:
    """`12.3 %`; what is there never reads as nothing, and what is missing never as all."""
    if not whole or not amount:
        return "0 %"
    tenths = min(max(amount * 1000 // whole, 1), 999 if amount < whole else 1000)
    return f"{tenths // 10}.{tenths % 10} %"


def sites(cells: Sequence[Cell], day: str) -> list[Site]:
    """Servers by source. Cells are in that order."""
    found = []
    for source, own in groupby(cells, key=lambda one: one.source):
        rows = [_row(host, list(gpus), day) for host, gpus in groupby(own, key=lambda one: one.host)]
        found.append(Site(source, sum(row.gpus for row in rows), rows))
    return found


def _row(host: str, cells: Sequence[Cell], day: str) -> Row:
    whole, billed = sum(one.whole for one in cells), sum(one.amounts[Category.BILLED] for one in cells)
    made = Markup("".join(_cell(one, day) for one in cells))  # noqa: S704 (what is put into a cell is ours)
    return Row(host, made, len(cells), billed * 100 // whole if whole else 0)


def _cell(cell: Cell, day: str) -> str:
    """A letter for where most of the time went; `!` beside it when some of the rest should be looked at. All that is put in is
    ours: numbers, a day, words."""
    main, whole = cell.main, cell.whole or 1
    parts = sorted(((one, n) for one, n in cell.amounts.items() if n), key=lambda part: -part[1])
    odd = "!" if any(one is not main and one in TROUBLES and n * 100 >= whole for one, n in parts) else ""
    told = ", ".join(one.value if len(parts) == 1 else f"{one.value} {n * 100 // whole} %" for one, n in parts[:3])
    return f'<td><a class={CLASSES[main]} href="fleet/gpus/{cell.gpu_id}?day={day}" title="{told}">{LETTERS[main]}{odd}</a>'

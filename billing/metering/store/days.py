"""Rows of conservation: where each GPU's time of each day went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import DAY, Seconds, Span, at_second
from billing.db.engine import raw_cursor
from billing.metering.conservation import Account, Category

_CATEGORIES: Final = tuple(category.value for category in Category)


class By(StrEnum):
    DAY = "day"
    HOST = "host"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Due:
    """A day whose accounts do not reflect its newest change."""

    day: datetime
    changes: int

    @property
    def span(self) -> Span:
        return Span(self.day, self.day + timedelta(days=1))


def note_change(session: Session, window: Seconds) -> None:
    """Remember that something was derived anew in the days of a window."""
    starts = [at_second(start) for start in range(window[0] // DAY * DAY, window[1], DAY)]
    raw_cursor(session).execute(
        "INSERT INTO conserved_day (day, changes) SELECT unnest(%s::timestamptz[]), 1"
        " ON CONFLICT (day) DO UPDATE SET changes = conserved_day.changes + 1",
        (starts,),
    )


def due(session: Session, now: datetime, limit: int) -> list[Due]:
    """Days that are over and have changed, the oldest first."""
    rows = session.execute(
        text(
            "SELECT day, changes FROM conserved_day WHERE stored IS DISTINCT FROM changes"
            " AND day + interval '1 day' <= :now ORDER BY day LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return [Due(row.day, row.changes) for row in rows]


def save(session: Session, due: Due, accounts: Sequence[tuple[int, str, Account]]) -> None:
    """Store a day's accounts in place of those that were there: (GPU id, source, account)."""
    cursor = raw_cursor(session)
    cursor.execute("DELETE FROM gpu_day WHERE day = %s", (due.day,))
    with cursor.copy(f"COPY gpu_day (day, gpu_id, host, source, whole, {', '.join(_CATEGORIES)}) FROM STDIN") as copy:
        for gpu_id, source, account in accounts:
            amounts = [account.slot_seconds.get(category, 0) for category in Category]
            copy.write_row((due.day, gpu_id, account.host, source, account.whole, *amounts))
    cursor.execute("UPDATE conserved_day SET stored = %s WHERE day = %s", (due.changes, due.day))


def listed(session: Session, span: Span, by: By, *, skip: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """Whole days of a span added up by day, host or GPU: GPU-seconds, in order of the key. `whole` is their sum."""
    key = {
        By.DAY: "to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        By.HOST: "d.host",
        By.GPU: "g.uuid",
    }[by]
    sums = ", ".join(f"(sum(d.{name}) / 840)::bigint AS {name}" for name in ("whole", *_CATEGORIES))
    rows = session.execute(
        text(
            f"SELECT {key} AS key, count(DISTINCT d.gpu_id) AS gpus, {sums}"
            " FROM gpu_day d JOIN gpu g ON g.id = d.gpu_id WHERE d.day >= :start AND d.day < :end"
            " GROUP BY 1 ORDER BY 1 OFFSET :skip LIMIT :limit"
        ),
        {"start": span.start, "end": span.end, "skip": skip, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]

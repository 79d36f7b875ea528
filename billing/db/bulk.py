"""Many rows at once by COPY, each column in the type that its table gives it."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Table, text
from sqlalchemy.types import TypeEngine
from sqlmodel import Session, SQLModel

from billing.core.clock import as_utc
from billing.core.period import Span
from billing.db.columns import Json, JsonOrNone, SpanColumn, Units, UtcTime
from billing.db.engine import raw_cursor

Rows = Sequence[Mapping[str, Any]]


def next_ids(session: Session, row: type[SQLModel], count: int) -> list[int]:
    """So many fresh ids of a table, for rows that others refer to."""
    table = _table(row).name
    found = session.execute(
        text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"),
        {"table": table, "count": count},
    )
    return sorted(found.scalars())


def copy(session: Session, row: type[SQLModel], rows: Rows) -> None:
    """Add rows that all tell the same columns; the database fills in the others. What waits in the session is written first, so
    that rows may refer to it."""
    if not rows:
        return
    session.flush()
    table, columns = _table(row), list(rows[0])
    spelled = [(name, _spelling(table.c[name].type)) for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    with raw_cursor(session).copy(f'COPY "{table.name}" ({names}) FROM STDIN') as out:
        for one in rows:
            out.write_row([spell(one[name]) if spell else one[name] for name, spell in spelled])


def _table(row: type[SQLModel]) -> Table:
    table = row.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)
    return table


Spell = Callable[[Any], Any]


def _spelling(kind: TypeEngine[Any]) -> Spell | None:
    """How a column's values are written for the database; None: as the driver does it."""
    return _SPELLINGS.get(type(kind))


@lru_cache(maxsize=1024)
def _span_text(span: Span | None) -> str | None:
    return None if span is None else f"[{span.start.isoformat()},{span.end.isoformat()})"


def _json_text(value: Any) -> str:
    return json.dumps(value)


def _json_text_or_none(value: Any) -> str | None:
    return None if value is None else _json_text(value)


def _units(value: int | None) -> int | None:
    assert value is None or type(value) is int, "units are int"
    return value


def _time(value: datetime | None) -> datetime | None:
    return None if value is None else as_utc(value)


_SPELLINGS: Final[Mapping[type[TypeEngine[Any]], Spell]] = {
    SpanColumn: _span_text,
    Json: _json_text,
    JsonOrNone: _json_text_or_none,
    Units: _units,
    UtcTime: _time,
}

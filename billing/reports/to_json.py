"""JSON: one object with the period and the rows; amounts are text, times are RFC 3339."""

from collections.abc import Iterator
from datetime import date, datetime

import orjson

from billing.core.period import rfc3339
from billing.reports.table import Table


def chunks(table: Table) -> Iterator[bytes]:
    """The file, row by row."""
    head = orjson.dumps({"report": table.name, "period": table.span})
    yield head[:-1] + b',"rows":['
    header, comma = table.header, b"\n"
    for row in table.rows:
        yield comma + orjson.dumps(dict(zip(header, (_plain(value) for value in row), strict=True)))
        comma = b",\n"
    yield b"\n]}\n"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    return value.isoformat() if isinstance(value, date) else value

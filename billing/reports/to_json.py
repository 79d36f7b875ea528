"""JSON: one object with the period and the rows; amounts are text, times are RFC 3339."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson

from billing.core.period import rfc3339


def document(name: str, period: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """The whole file, indented for people."""
    found = [dict(zip(header, (_plain(value) for value in row), strict=True)) for row in rows]
    return orjson.dumps({"report": name, "period": period, "rows": found}, option=orjson.OPT_INDENT_2) + b"\n"


def _plain(value: object) -> object:
    return rfc3339(value) if isinstance(value, datetime) else value

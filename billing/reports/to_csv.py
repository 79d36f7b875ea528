"""CSV as spreadsheets and books read it: RFC 4180, UTF-8, header first, times in RFC 3339."""

import csv
import io
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import chain

from billing.core.period import rfc3339

_PASSED_OVER = string.whitespace + "\x00\u00a0\ufeff\u200b"
_FORMULA = ("=", "+", "-", "@")


def lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The file, line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in chain([header], rows):
        writer.writerow([cell(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def cell(value: object) -> str:
    """One cell. Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _starts_formula(text) and not _is_number(text):
        return "'" + text
    return text


def _starts_formula(text: str) -> bool:
    """Spreadsheets pass over blanks and control characters before a formula, and read full-width signs as plain ones."""
    if text[:1] in ("\t", "\r", "\n"):
        return True
    return unicodedata.normalize("NFKC", text.lstrip(_PASSED_OVER)[:1]) in _FORMULA


def _is_number(text: str) -> bool:
    digits = text[1:] if text[0] in "+-" else text
    whole, _, fraction = digits.partition(".")
    return whole.isascii() and whole.isdigit() and (not fraction or (fraction.isascii() and fraction.isdigit()))

"""Tables that people write: CSV with a header in any order. Every mistake is found at once, and named by its line."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from billing.core.errors import Conflict, Invalid, NotFound

LINE_CHARACTERS_MAX: Final = 100_000
ERRORS_SHOWN: Final = 5

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Table:
    """The rows of a file with the numbers of their lines, and what is wrong with others. Values are stripped."""

    rows: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    remark: str = ""
    """A first line that begins with `#`."""

    def wrong(self, line: int, what: object) -> None:
        self.errors.append((line, str(what)))

    def each(self, items: Iterable[tuple[int, T]], use: Callable[[T], R]) -> list[tuple[int, R]]:
        """What `use` makes of items, each with its line. Where it raises Invalid, NotFound or Conflict, the line is wrong."""
        made = []
        for line, item in items:
            try:
                made.append((line, use(item)))
            except (Invalid, NotFound, Conflict) as error:
                self.wrong(line, error)
        return made

    def check(self) -> None:
        """Raises Invalid, on one line, when anything is wrong: then nothing of the file may be used."""
        if self.errors:
            shown = [f"line {line}: {what}" for line, what in sorted(self.errors)[:ERRORS_SHOWN]]
            more = len(self.errors) - len(shown)
            raise Invalid("; ".join(shown) + (f"; and {more} more" if more else ""))


def read(content: bytes, columns: Mapping[str, Iterable[str]], required: Sequence[str]) -> Table:
    """`columns` are the names that are known, each with other names for it; `required` must be in the header.

    Raises Invalid for what is no such table at all, or only a part of one.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"this is no UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise Invalid("this is binary, not CSV")
    if not text.endswith(("\n", "\r")):
        raise Invalid(
            "the last line has no end: the file may be cut off" if text else "the file is empty, without a header"
        )
    table = Table()
    if text.startswith("#"):
        table.remark = text.splitlines()[0]
    names: list[str] | None = None
    for number, values in _records(text):
        if names is None:
            names = _header(values, columns, required)
        elif len(values) != len(names):
            table.wrong(number, f"{len(values)} fields under {len(names)} headings")
        else:
            table.rows.append((number, dict(zip(names, values, strict=True))))
    if names is None:
        raise Invalid("the file is empty, without a header")
    return table


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, stripped fields) of every record. A field may hold line ends; its record begins at the line that is named."""
    lines = io.StringIO(text, newline="")
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_CHARACTERS_MAX:
            raise Invalid(f"line {number} is longer than {LINE_CHARACTERS_MAX} characters")
    lines.seek(0)
    reader = csv.reader(lines, strict=True)
    at = 1
    try:
        for values in reader:
            first, at = at, reader.line_num + 1
            stripped = [value.strip() for value in values]
            if any(stripped) and not (first == 1 and stripped[0].startswith("#")):
                yield first, stripped
    except csv.Error as error:
        raise Invalid(f"line {max(at, reader.line_num)}: {error}") from None


def _header(values: Sequence[str], columns: Mapping[str, Iterable[str]], required: Sequence[str]) -> list[str]:
    known = {other: name for name, others in columns.items() for other in (name, *others)}
    names = []
    for value in values:
        name = known.get(value.lower())
        if name is None:
            raise Invalid(f"the column {value[:40]!r} is not known", remedy=f"known are {', '.join(columns)}")
        if name in names:
            raise Invalid(f"the column {name} is there twice")
        names.append(name)
    missing = [name for name in required if name not in names]
    if missing:
        raise Invalid(f"the column {', '.join(missing)} is missing", remedy=f"known are {', '.join(columns)}")
    return names

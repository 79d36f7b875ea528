"""XLSX: a sheet with typed columns and a header that stays, and a sheet of totals. Rows go through a file: memory stays flat."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from tempfile import TemporaryFile
from typing import IO, Any, Final

from xlsxwriter import Workbook

from billing.core.errors import Invalid
from billing.reports.table import Column, Kind, Table

CHUNK: Final = 1 << 20
ROWS_MAX: Final = 1_048_575
"""Below the header, as the format allows."""
DIGITS_MAX: Final = 15
"""Spreadsheets calculate with so many. An amount with more is written as text: never rounded."""
WIDTHS: Final = {Kind.TEXT: 22, Kind.WHOLE: 12, Kind.AMOUNT: 20, Kind.TIME: 20, Kind.DAY: 12}
FORMATS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.TEXT: {"num_format": "@"},
    Kind.WHOLE: {"num_format": "0"},
    Kind.AMOUNT: {"num_format": "#,##0.00################"},
    Kind.TIME: {"num_format": "yyyy-mm-dd hh:mm:ss"},
    Kind.DAY: {"num_format": "yyyy-mm-dd"},
}
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The file says that it was made then: the same figures are the same bytes."""

Totals = dict[str, dict[str, Decimal]]
"""{what it is an amount of: {column: sum}}."""


def chunks(table: Table) -> Iterator[bytes]:
    """The file, once all of it was written to a temporary one. Raises Invalid for more rows than the format has room for."""
    with TemporaryFile() as file:
        _write_book(table, file)
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk


def _write_book(table: Table, file: IO[bytes]) -> None:
    book = Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"title": f"{table.name} {table.span}", "created": EPOCH.replace(tzinfo=None)})
    sheet, bold = book.add_worksheet(table.name[:31]), book.add_format({"bold": True, "bottom": 1})
    formats = {kind: book.add_format(look) for kind, look in FORMATS.items()}
    sheet.freeze_panes(1, 0)
    for at, column in enumerate(table.columns):
        sheet.set_column(at, at, WIDTHS[column.kind])
        sheet.write_string(0, at, column.name, bold)
    totals: Totals = {}
    for number, row in enumerate(table.rows, 1):
        if number > ROWS_MAX:
            raise Invalid(f"{table.name} has more rows than a sheet has room for", remedy="export it as csv")
        for at, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            _write(sheet, (number, at), column.kind, value, formats[column.kind])
        _add(totals, table.columns, row)
    if any(column.of for column in table.columns):
        _totals(book.add_worksheet("totals"), table.columns, totals, (bold, formats[Kind.AMOUNT]))
    book.close()


def _write(sheet: Any, place: tuple[int, int], kind: Kind, value: object, look: Any) -> None:
    if value is None or value == "":
        return
    if isinstance(value, datetime):
        sheet.write_datetime(*place, value.astimezone(UTC).replace(tzinfo=None), look)
    elif isinstance(value, date):
        sheet.write_datetime(*place, value, look)
    elif kind is Kind.WHOLE and isinstance(value, int) and abs(value) < 10**DIGITS_MAX:
        sheet.write_number(*place, value, look)
    elif kind is Kind.AMOUNT and len((amount := Decimal(str(value))).as_tuple().digits) <= DIGITS_MAX:
        sheet.write_number(*place, amount, look)
    else:
        sheet.write_string(*place, str(value), look)


def _add(totals: Totals, columns: Sequence[Column], row: Sequence[object]) -> None:
    by_name = {column.name: value for column, value in zip(columns, row, strict=True)}
    for column in columns:
        if column.of and by_name[column.name] not in (None, ""):
            sums = totals.setdefault(str(by_name[column.of]), {})
            sums[column.name] = sums.get(column.name, Decimal(0)) + Decimal(str(by_name[column.name]))


def _totals(sheet: Any, columns: Sequence[Column], totals: Totals, looks: tuple[Any, Any]) -> None:
    """One row for each currency or asset: what is unlike is never added up."""
    bold, amount = looks
    summed = [column for column in columns if column.of]
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(summed), WIDTHS[Kind.AMOUNT])
    for at, name in enumerate([summed[0].of, *(column.name for column in summed)]):
        sheet.write_string(0, at, name, bold)
    for number, (of, sums) in enumerate(sorted(totals.items()), 1):
        sheet.write_string(number, 0, of)
        for at, column in enumerate(summed, 1):
            _write(sheet, (number, at), Kind.AMOUNT, sums.get(column.name), amount)

"""Reports as files: the columns that finance relies on, and text that no spreadsheet will run."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.reports import to_csv, to_json
from billing.reports.rows import ReconciliationRow, cells, columns
from billing.reports.table import Table

COLUMNS = [
    "invoice",
    "tenant",
    "period",
    "currency",
    "amount_due",
    "invoice_status",
    "token",
    "chain_id",
    "chain",
    "amount_units",
    "amount",
    "value",
    "applied",
    "credited",
    "written_off",
    "difference",
    "kind",
    "disposition",
    "status",
    "confirmations",
    "tx_hash",
    "log_index",
    "block",
    "block_hash",
    "time",
    "from",
    "to",
    "rate",
    "rate_source",
    "ledger_entry",
    "address",
]
"""A column may be added at the end. None is renamed, moved or removed: books are built on them."""


def header() -> list[str]:
    return Table("", "", columns(), []).header


def as_json(rows: list[tuple[object, ...]]) -> Any:
    return json.loads(b"".join(to_json.chunks(Table("reconciliation", "2026-10", columns(), rows))))


FORMULAS = [
    " =1+1",
    "\n=1+1",
    "\u00a0=1+1",
    "\ufeff@SUM(A1)",
    "\uff1d1+1",
    "\x00=1",
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x")',
    "-",
    "+",
    "--1",
    "-1e5",
    "-.5x",
]


def test_the_columns_are_these_in_this_order() -> None:
    assert header()[: len(COLUMNS)] == COLUMNS


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_text(formula: str) -> None:
    assert to_csv.cell(formula) == "'" + formula


@pytest.mark.parametrize("number", ["-1", "+1", "-24.00", "0.1", "-0"])
def test_a_number_stays_a_number(number: str) -> None:
    assert to_csv.cell(number) == number and Decimal(to_csv.cell(number)) == Decimal(number)


def test_times_integers_and_nothing() -> None:
    assert to_csv.cell(datetime(2026, 10, 1, tzinfo=UTC)) == "2026-10-01T00:00:00Z"
    assert to_csv.cell(None) == "" and to_csv.cell(-5) == "-5" and to_csv.cell(10**30) == "1" + "0" * 30


values = st.one_of(
    st.text(), st.sampled_from(FORMULAS), st.integers(), st.none(), st.decimals(allow_nan=False).map(str)
)


@given(st.lists(st.lists(values, min_size=3, max_size=3), max_size=5))
def test_any_text_comes_back_as_it_was_and_none_begins_a_formula(rows: list[list[object]]) -> None:
    content = "".join(to_csv.lines(["a", "b", "c"], rows))
    read = list(csv.reader(io.StringIO(content, newline="")))
    assert read[0] == ["a", "b", "c"] and len(read) == len(rows) + 1
    for row, found in zip(rows, read[1:], strict=True):
        for value, shown in zip(row, found, strict=True):
            text = "" if value is None else str(value)
            assert shown in (text, "'" + text)
            if shown.startswith(("=", "@", "\t", "\r")):
                pytest.fail(f"{shown!r} begins a formula")
            if shown.startswith(("+", "-")):
                assert shown[1:].replace(".", "", 1).isdigit()


def row(**fields: Any) -> ReconciliationRow:
    empty: dict[str, Any] = dict.fromkeys(ReconciliationRow.__dataclass_fields__, "")
    return ReconciliationRow(
        **{**empty, "chain_id": 8453, "log_index": 0, "block": None, "confirmations": 3, "time": None, **fields}
    )


def test_csv_and_json_of_one_row_tell_the_same() -> None:
    one = row(
        invoice="INV-000001", tenant="=acme", difference="-24.00", time=datetime(2026, 10, 5, 1, 2, 3, tzinfo=UTC)
    )
    (line,) = csv.DictReader(io.StringIO("".join(to_csv.lines(header(), [cells(one)])), newline=""))
    assert (line["tenant"], line["difference"], line["time"]) == ("'=acme", "-24.00", "2026-10-05T01:02:03Z")
    document = as_json([cells(one)])
    assert (document["report"], document["period"]) == ("reconciliation", "2026-10")
    (found,) = document["rows"]
    assert list(found) == header() and found["tenant"] == "=acme", "JSON is read by programs: nothing is put before it"
    assert (found["log_index"], found["block"], found["time"]) == (0, None, "2026-10-05T01:02:03Z")


def test_an_empty_report_has_its_header() -> None:
    assert "".join(to_csv.lines(header(), [])) == ",".join(header()) + "\r\n"
    assert as_json([])["rows"] == []

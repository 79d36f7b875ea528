"""The books as files: each format opened by the program that it is for, each figure against the ledger."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core import data, inventory
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing.core.errors import Conflict, NotFound
from billing.core.period import Span, month
from billing.ledger import store as ledger
from billing.ledger.account import _PARTS, _PLAIN
from billing.reports import to_beancount, to_xlsx
from billing.reports.books import AGING, Owing, aging_rows
from billing.reports.reporter import Format
from billing.reports.table import Column, Kind, Table
from billing.reports.to_beancount import Line, account, commodity
from tests.world import World, issued, usd, world


@pytest.fixture(scope="module")
def made(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """October's invoices of 200.00: one paid with 50.00 too much, one in part, one not at all; and money for nobody."""
    import psycopg
    from sqlalchemy import make_url

    with psycopg.connect(postgres, autocommit=True) as connection:  # a module's tests may come in two parts
        connection.execute("DROP DATABASE IF EXISTS reports (FORCE)")
        connection.execute("CREATE DATABASE reports TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    url = make_url(postgres).set(database="reports").render_as_string(hide_password=False)
    with world(url, tmp_path_factory.mktemp("reports")) as one:
        acme, beta, _ = issued(one, "acme", "beta", "orbit")
        assert acme.address is not None and beta.address is not None
        one.node.transfer(one.usdc, acme.address, usd("250.00"))
        one.node.transfer(one.usdc, beta.address, usd("60.00"))
        one.node.transfer(one.other, beta.address, 10**18)
        one.settle(40)
        yield one


def this_month(made: World) -> Span:
    now = made.clock.now()
    return month(now.year, now.month)


def trial(made: World) -> dict[tuple[str, str], int]:
    with made.app.database.transaction() as session:
        return {(one.account, one.asset): one.units for one in ledger.trial_balance(session) if one.units}


EXPONENTS = {"USD": 2, "31337:USDC": 6, "31337:OUSD": 18, "31337:NRUSD": 6}


def rows_of(content: Iterator[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(content).decode(), newline="")))


def test_the_journal_is_the_ledger_posting_by_posting(made: World) -> None:
    found: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    entries: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows_of(made.app.reporter.journal(this_month(made), Format.CSV)):
        assert bool(row["debit"]) != bool(row["credit"])
        amount = Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        found[row["account"], row["asset"]] += amount
        entries[row["entry"], row["asset"]] += amount
    assert not any(entries.values()), "each entry balances"
    units = {key: int(amount.scaleb(EXPONENTS[key[1]])) for key, amount in found.items() if amount}
    assert units == trial(made)


def test_all_formats_tell_the_same(made: World) -> None:
    lines = rows_of(made.app.reporter.journal(this_month(made), Format.CSV))
    document = json.loads(b"".join(made.app.reporter.journal(this_month(made), Format.JSON)))
    assert document["report"] == "journal" and len(document["rows"]) == len(lines) > 10
    sheets = load_workbook(io.BytesIO(b"".join(made.app.reporter.journal(this_month(made), Format.XLSX))))
    sheet, totals = sheets["journal"], sheets["totals"]
    assert sheet.freeze_panes == "A2" and sheet.max_row == len(lines) + 1
    header, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    for line, told, shown in zip(lines, document["rows"], rows, strict=True):
        sheet_row: dict[str, Any] = dict(zip(header, shown, strict=True))
        assert line["entry"] == str(told["entry"]) == str(sheet_row["entry"])
        assert line["account"] == told["account"] == sheet_row["account"]
        assert line["debit"] == told["debit"]
        if line["debit"]:
            assert Decimal(str(sheet_row["debit"])) == Decimal(line["debit"])
        assert (
            isinstance(sheet_row["booked_on"], datetime)
            and sheet_row["booked_on"].date().isoformat() == line["booked_on"]
        )
    summed = {row[0].value: (row[1].value, row[2].value) for row in totals.iter_rows(min_row=2)}
    assert set(summed) == {asset for _, asset in trial(made)} and all(
        debit == credit for debit, credit in summed.values()
    )


def checked(made: World, period: Span, folder: Path) -> dict[tuple[str, str], Decimal]:
    """What Beancount makes of it: no complaint, and these balances."""
    file = folder / "journal.beancount"
    file.write_bytes(b"".join(made.app.reporter.beancount(period)))
    entries, errors, _ = loader.load_file(str(file))
    assert errors == [], file.read_text()
    sums: defaultdict[str, inventory.Inventory] = defaultdict(inventory.Inventory)
    for entry in entries:
        for posting in entry.postings if isinstance(entry, data.Transaction) else ():
            assert posting.units is not None
            sums[posting.account].add_amount(posting.units)
    return {
        (name, position.units.currency): position.units.number for name, found in sums.items() for position in found
    }


def test_bean_check_accepts_the_journal_and_its_balances_are_ours(made: World, tmp_path: Path) -> None:
    wanted = {
        (account(name), commodity(asset)): Decimal(units).scaleb(-EXPONENTS[asset])
        for (name, asset), units in trial(made).items()
    }
    assert checked(made, this_month(made), tmp_path) == wanted


def test_a_month_in_which_nothing_was_booked_brings_the_balances_forward(made: World, tmp_path: Path) -> None:
    later = month(2027, 3)
    assert {key: value for key, value in checked(made, later, tmp_path).items() if value} == checked(
        made, this_month(made), tmp_path
    )
    assert rows_of(made.app.reporter.journal(later, Format.CSV)) == []


def test_aging_sums_to_what_is_receivable_and_ages_with_the_day(made: World) -> None:
    today = made.clock.now().date()
    rows = rows_of(made.app.reporter.aging(today, Format.CSV))
    assert {(one["tenant"], one["remaining"], one["not_due"]) for one in rows} == {
        ("beta", "140.00", "140.00"), ("orbit", "200.00", "200.00"),
    }  # fmt: skip
    assert sum(Decimal(one["remaining"]) for one in rows) * 100 == made.balance("receivable")
    (old, _) = rows_of(made.app.reporter.aging(date(2027, 6, 1), Format.CSV))
    assert old["days_over_90"] == old["remaining"] and int(old["days_overdue"]) > 90
    assert rows_of(made.app.reporter.aging(date(2026, 10, 1), Format.CSV)) == [], "nothing was booked by then"


def test_a_statement_ends_with_what_the_ledger_says(made: World) -> None:
    acme = rows_of(made.app.reporter.statement("acme", this_month(made), Format.CSV))
    assert acme[0]["debit"] == "200.00" and acme[-1]["balance"] == "-50.00", "50.00 to its credit"
    assert made.balance("tenant_credit") == -5_000
    (forward,) = rows_of(made.app.reporter.statement("beta", month(2027, 3), Format.CSV))
    assert (forward["kind"], forward["balance"]) == ("brought forward", "140.00")
    with pytest.raises(NotFound, match="no tenant nobody"):
        list(made.app.reporter.statement("nobody", this_month(made), Format.CSV))


@given(st.integers(-10, 400), st.integers(1, 10**9))
def test_every_cent_has_exactly_one_age(days: int, units: int) -> None:
    due = datetime(2026, 10, 15, tzinfo=UTC)
    one = Owing("INV-1", "acme", "USD", due, due, "open", units, units)
    (row,) = aging_rows([one], {"USD": 2}, date.fromordinal(due.toordinal() + days))
    told = dict(zip([column.name for column in AGING], row, strict=True))
    ages = {name: told[name] for name in told if str(name).startswith(("days_", "not_")) and name != "days_overdue"}
    (name,) = [name for name, amount in ages.items() if amount]
    assert ages[name] == told["remaining"]
    most = {"not_due": 0, "days_1_30": 30, "days_31_60": 60, "days_61_90": 90}.get(name, 10**6)
    assert max(0, days) <= most and (most == 10**6) == (days > 90)


def test_every_account_of_the_chart_has_a_place_in_beancount() -> None:
    assert {*_PLAIN, *_PARTS} <= set(to_beancount._ROOTS)


names = st.text(st.characters(blacklist_characters=":", codec="utf-8"), min_size=1, max_size=12)


@given(names, names)
def test_two_accounts_never_become_one_and_beancount_takes_each(one: str, other: str) -> None:
    first, second = account(f"revenue:{one}"), account(f"revenue:{other}")
    assert (first == second) == (one == other)
    line = Line(
        1, date(2026, 10, 1), 'a "quoted" \\ kind', "two\nlines", f"revenue:{one}", "USD", "1.00", "acme", "", ""
    )
    back = Line(1, line.on, "", "", "receivable", "USD", "-1.00", "acme", "INV-1", "0x12")
    text = "".join(to_beancount.lines("t", [line, back], [(line.account, "USD"), ("receivable", "USD")], line.on))
    _, errors, _ = loader.load_string(text)
    assert errors == [], text


def test_two_assets_that_would_be_one_commodity_are_refused() -> None:
    with pytest.raises(Conflict, match="one commodity"):
        list(to_beancount.lines("t", [], [("x", "1:USDt"), ("y", "1:USDT")], date(2026, 10, 1)))


def test_a_sheet_keeps_what_no_spreadsheet_can_calculate_with_as_text() -> None:
    columns = [
        Column("asset"),
        Column("amount", Kind.AMOUNT, of="asset"),
        Column("n", Kind.WHOLE),
        Column("t", Kind.TIME),
    ]
    at = datetime(2026, 10, 1, 12, tzinfo=UTC)
    rows = [("=1+1", "0.123456789012345678", 10**20, at), ("=1+1", "-2.50", 7, None), ("USD", "", None, at)]
    sheets = load_workbook(io.BytesIO(b"".join(to_xlsx.chunks(Table("x", "2026-10", columns, rows)))))
    read = [[(cell.value, cell.data_type) for cell in row] for row in sheets["x"].iter_rows(min_row=2)]
    assert read[0] == [
        ("=1+1", "s"),
        ("0.123456789012345678", "s"),
        (str(10**20), "s"),
        (at.replace(tzinfo=None), "d"),
    ]
    assert read[1][:3] == [("=1+1", "s"), (-2.5, "n"), (7, "n")]
    (total,) = [[cell.value for cell in row] for row in sheets["totals"].iter_rows(min_row=2)]
    assert total == ["=1+1", "-2.376543210987654322"]
    again = b"".join(to_xlsx.chunks(Table("x", "2026-10", columns, rows)))
    assert again == b"".join(to_xlsx.chunks(Table("x", "2026-10", columns, rows))), (
        "the same figures are the same bytes"
    )

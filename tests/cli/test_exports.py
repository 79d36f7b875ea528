"""Files for finance, as the command line writes them."""

import csv
from decimal import Decimal
from pathlib import Path

from beancount import loader
from openpyxl import load_workbook

from tests.cli.scene import Site


def test_the_journal_is_a_file_that_bean_check_and_a_spreadsheet_open(site: Site, tmp_path: Path) -> None:
    today = site("chain", "status", "--json").json()[0]["mined_at"][:7]
    beans, sheet = tmp_path / "books.beancount", tmp_path / "books.xlsx"
    site("export", "journal", "--period", today, "--format", "beancount", "--output", beans).ok()
    entries, errors, _ = loader.load_file(str(beans))
    assert errors == [] and entries
    site("export", "journal", "--period", today, "--format", "xlsx", "--output", sheet).ok()
    rows = list(csv.DictReader(site("export", "journal", "--period", today).ok().out.splitlines()))
    assert load_workbook(sheet)["journal"].max_row == len(rows) + 1 > 5
    assert list(tmp_path.iterdir()) and not [one for one in tmp_path.iterdir() if one.name.endswith(".part")]


def test_aging_and_statements_agree_with_the_trial_balance(site: Site) -> None:
    aging = site("export", "aging", "--format", "json").json()["rows"]
    trial = {
        one["account"]: one["balance"]
        for one in site("ledger", "trial-balance", "--json").json()
        if one["asset"] == "USD"
    }
    assert sum(Decimal(one["remaining"]) for one in aging) == Decimal(trial["receivable"])
    today = site("chain", "status", "--json").json()[0]["mined_at"][:7]
    owed = Decimal(0)
    for tenant in site("tenant", "list", "--json").json():
        rows = site("export", "statement", tenant["slug"], "--period", today, "--format", "json").json()["rows"]
        owed += Decimal(rows[-1]["balance"]) if rows else 0
    assert owed == Decimal(trial["receivable"]) + Decimal(trial.get("tenant_credit", 0))


def test_what_cannot_be_written_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "kept.csv"
    target.write_text("before")
    site("export", "statement", "nobody", "--period", "2026-10", "--output", target).refused("no tenant nobody", code=1)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_usage_is_charged_as_invoiced(site: Site, tmp_path: Path) -> None:
    rows = site("export", "usage", "--period", site.period, "--format", "json").json()["rows"]
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row["invoice"]] = totals.get(row["invoice"], Decimal(0)) + Decimal(row["amount"])
    invoices = site("invoice", "list", "--json").json()
    assert totals == {one["number"]: Decimal(one["total"]) for one in invoices}
    assert {row["customer"] for row in rows} == {"", "delta"}
    sheet = tmp_path / "usage.xlsx"
    site("export", "usage", "--period", site.period, "--format", "xlsx", "--output", sheet).ok()
    assert load_workbook(sheet)["usage"].max_row == len(rows) + 1


def test_exports_refuse_what_they_do_not_know(site: Site) -> None:
    site("export", "usage", "--period", "2026-10", "--format", "pdf").refused(
        "'pdf' is not known", "csv, json, xlsx", code=2
    )
    site("export", "usage", "--period", "2026-00").refused("is not a period", code=2)
    site("export", "aging", "--period", "2026-10", "--on", "2026-10-01").refused("say two things", code=2)
    site("export", "aging", "--period", "2020-01").refused("are not closed", code=2)

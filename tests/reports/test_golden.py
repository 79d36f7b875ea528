"""Every export, byte for byte. A file here changes only when a report is meant to change; a column is added at the end, never
renamed, moved or removed. To write the files anew: `python -m tests.reports.test_golden`."""

import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from beancount import loader
from openpyxl import load_workbook
from sqlalchemy import make_url

from billing.bootstrap import App
from billing.core.period import month, rfc3339
from billing.invoicing.store import Filter, listed
from billing.reports.reporter import Format
from tests.reports.story import ACME, AGED, DELTA, REASON, story

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "reports"
USED, BOOKED = month(2026, 10), month(2026, 11)

Made = Callable[[App, Format], Iterator[bytes]]
REPORTS: Final[dict[str, Made]] = {
    "reconciliation": lambda app, wanted: app.reporter.reconciliation(USED, wanted),
    "journal": lambda app, wanted: app.reporter.journal(BOOKED, wanted),
    "aging": lambda app, wanted: app.reporter.aging(AGED, wanted),
    "statement": lambda app, wanted: app.reporter.statement("acme", BOOKED, wanted),
    "usage": lambda app, wanted: app.reporter.usage(USED, wanted),
}
TEXTS: Final = [f"{name}.{ending}" for name in REPORTS for ending in ("csv", "json")] + ["journal.beancount"]


@contextmanager
def told(postgres: str, folder: Path) -> Iterator[App]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE golden TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    url = make_url(postgres).set(database="golden").render_as_string(hide_password=False)
    with story(url, folder) as app:
        yield app


@pytest.fixture(scope="module")
def app(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with told(postgres, tmp_path_factory.mktemp("golden")) as one:
        yield one


def written(app: App, file: str) -> bytes:
    name, _, ending = file.partition(".")
    made = app.reporter.beancount(BOOKED) if ending == "beancount" else REPORTS[name](app, Format(ending))
    return b"".join(made)


@pytest.mark.parametrize("file", TEXTS)
def test_an_export_is_these_bytes(app: App, file: str) -> None:
    assert written(app, file).decode() == (GOLDEN / file).read_bytes().decode()


def test_beancount_takes_the_golden_journal() -> None:
    entries, errors, _ = loader.load_file(str(GOLDEN / "journal.beancount"))
    assert errors == [] and len(entries) > 10


@pytest.mark.parametrize("name", REPORTS)
def test_a_workbook_tells_what_the_golden_csv_tells(app: App, name: str) -> None:
    lines = list(csv.reader(io.StringIO((GOLDEN / f"{name}.csv").read_bytes().decode(), newline="")))
    sheet = load_workbook(io.BytesIO(written(app, f"{name}.xlsx")))[name]
    cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert len(cells) == len(lines) > 1
    for line, row in zip(lines, cells, strict=True):
        for wanted, value in zip(line, row, strict=True):
            text, found = wanted.removeprefix("'"), shown(value, wanted)
            assert found == text or Decimal(found) == Decimal(text)


def shown(value: Any, wanted: str) -> str:
    """A cell as CSV tells it; a workbook has days as their midnight."""
    if isinstance(value, datetime):
        return rfc3339(value.replace(tzinfo=UTC)) if "T" in wanted else value.date().isoformat()
    return "" if value is None else str(value)


def test_the_golden_files_hold_what_breaks_what_is_written_carelessly() -> None:
    rows = json.loads((GOLDEN / "usage.json").read_text())["rows"]
    assert {ACME, DELTA} <= {row["tenant_name"] for row in rows} | {row["customer_name"] for row in rows}
    assert any(REASON in row["excluded"] for row in rows)
    text = (GOLDEN / "usage.csv").read_bytes().decode()
    assert "'" + ACME.replace('"', '""') in text and REASON.replace('"', '""') in text


def test_what_was_charged_for_a_months_usage_is_what_its_invoices_say(app: App) -> None:
    rows = json.loads((GOLDEN / "usage.json").read_text())["rows"]
    by_invoice: dict[str, Decimal] = {}
    for row in rows:
        by_invoice[row["invoice"]] = by_invoice.get(row["invoice"], Decimal(0)) + Decimal(row["amount"])
        if not row["meter"]:
            assert row["seconds"] == row["charged_seconds"] and Decimal(row["hours"]) * 3600 == row["seconds"]
            assert row["coverage"] == "1.0000"
    with app.database.transaction() as session:
        standing = {one.number: one for one in listed(session, Filter(period=USED)) if one.status != "void"}
    assert {number: Decimal(one.total) / 100 for number, one in standing.items()} == by_invoice


if __name__ == "__main__":
    from billing.db import embedded, migrate
    from billing.db.engine import Database

    with tempfile.TemporaryDirectory(prefix="sm-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        server = embedded.start(Path(place) / "pg")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE stablemeter_template")
        template = Database(make_url(server).set(database="stablemeter_template").render_as_string(hide_password=False))
        migrate.upgrade(template)
        template.close()
        GOLDEN.mkdir(parents=True, exist_ok=True)
        with told(server, Path(place)) as made:
            for file in TEXTS:
                (GOLDEN / file).write_bytes(written(made, file))
        sys.stdout.write(f"wrote {len(TEXTS)} files\n")

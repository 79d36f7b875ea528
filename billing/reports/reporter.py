"""Writes reports."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum

from billing.chain.tokens import Token
from billing.compliance.register import Rules
from billing.core.errors import NotFound
from billing.core.money import decimal_text
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.pricing.store.used import used
from billing.reports import books, compliance, owners, store, to_beancount, to_csv, to_json, to_xlsx, usage
from billing.reports.rows import ReconciliationRow, cells, columns
from billing.reports.table import Table
from billing.reports.to_beancount import Line
from billing.tenants import store as tenants


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"


class Reporter:
    """Every report comes as chunks of bytes, read in one transaction: all of its figures are of one moment."""

    def __init__(self, database: Database, tokens: Sequence[Token], chains: dict[int, str]) -> None:
        """`chains` are names by chain id."""
        self._database, self._chains = database, chains
        self._tokens = {(token.chain_id, str(token.address)): token for token in tokens}

    @staticmethod
    def exponents(session: Session) -> Mapping[str, int]:
        """Decimals of every asset that was ever booked."""
        return store.exponents(session)

    def reconciliation_rows(self, period: Span) -> list[ReconciliationRow]:
        with self._database.transaction() as session:
            return list(store.reconciliation(session, period, _label(period), self._tokens, self._chains))

    def reconciliation(self, period: Span, file_format: Format) -> Iterator[bytes]:
        """One row for each invoice and payment of a month."""
        with self._database.transaction() as session:
            found = store.reconciliation(session, period, _label(period), self._tokens, self._chains)
            yield from _written(Table("reconciliation", _label(period), columns(), map(cells, found)), file_format)

    def journal(self, period: Span, file_format: Format) -> Iterator[bytes]:
        """Every posting booked in a month."""
        first, end = _days(period)
        with self._database.transaction() as session:
            rows = books.journal_rows(store.journal(session, first, end), store.exponents(session))
            yield from _written(Table("journal", _label(period), books.JOURNAL, rows), file_format)

    def beancount(self, period: Span) -> Iterator[bytes]:
        """The journal of a month, after the balances that were brought forward into it."""
        first, end = _days(period)
        with self._database.transaction() as session:
            exponents = store.exponents(session)
            opening = [
                Line(0, first, "brought forward", "", account, asset, decimal_text(units, exponents[asset]), "", "", "")
                for account, asset, units in store.brought_forward(session, first)
            ]

            def every() -> Iterator[Line]:
                yield from opening
                yield from books.journal_lines(store.journal(session, first, end), exponents)

            title = f"Journal {_label(period)}"
            for chunk in to_beancount.lines(title, every(), store.used(session, end), first):
                yield chunk.encode()

    def aging(self, on: date, file_format: Format) -> Iterator[bytes]:
        """What is owed at the end of a day, by how long it is overdue."""
        with self._database.transaction() as session:
            rows = books.aging_rows(store.owing(session, on), store.exponents(session), on)
            yield from _written(Table("aging", on.isoformat(), books.AGING, rows), file_format)

    def compliance(self, rules: Rules, period: Span, now: datetime, file_format: Format) -> Iterator[bytes]:
        """Who used which controlled GPU in a month, until now."""
        with self._database.transaction() as session:
            rows = compliance.rows(session, rules, period, now)
            yield from _written(Table("compliance", _label(period), compliance.COLUMNS, rows), file_format)

    def statement(self, tenant: str, period: Span, file_format: Format) -> Iterator[bytes]:
        """What was booked for a tenant in a month. Raises NotFound."""
        first, end = _days(period)
        with self._database.transaction() as session:
            found = next((one for one in tenants.listed(session) if one.slug == tenant), None)
            if found is None:
                raise NotFound(f"there is no tenant {tenant}", remedy="see: stablemeter tenant list")
            before = store.owed_before(session, found.id, first)
            postings = store.statement(session, found.id, first, end)
            rows = books.statement_rows(before, postings, store.exponents(session))
            yield from _written(Table("statement", f"{tenant} {_label(period)}", books.STATEMENT, rows), file_format)

    def usage(self, period: Span, file_format: Format) -> Iterator[bytes]:
        """Every device's billable time at every price, and what was charged for it."""
        with self._database.transaction() as session:
            rows = usage.rows(used(session, period), store.exponents(session))
            yield from _written(Table("usage", _label(period), usage.USAGE, rows), file_format)

    def owner_statement(self, owner: str, period: Span, file_format: Format) -> Iterator[bytes]:
        """What was settled and paid out for an owner of GPUs in a month. Raises NotFound."""
        with self._database.transaction() as session:
            found = owners.statements(session, owner, period)
        label = f"{owner} {_label(period)}"
        yield from _written(Table("owner statement", label, owners.OWNER_STATEMENT, owners.rows(found)), file_format)


def _written(table: Table, file_format: Format) -> Iterator[bytes]:
    if file_format is Format.JSON:
        yield from to_json.chunks(table)
    elif file_format is Format.XLSX:
        yield from to_xlsx.chunks(table)
    else:
        for line in to_csv.lines(table.header, table.rows):
            yield line.encode()


def _label(period: Span) -> str:
    return f"{period.start:%Y-%m}"


def _days(period: Span) -> tuple[date, date]:
    """(first day, the day after the last)."""
    return period.start.date(), period.end.date()

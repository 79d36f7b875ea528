"""Prints owners' statements."""

from billing.core.clock import Clock
from billing.core.period import Span
from billing.db.engine import Database
from billing.invoicing.parts import Party
from billing.papers.printer import Printer, Sheet
from billing.reports import to_paper
from billing.reports.owners import OWNER_STATEMENT, owner_month, rows
from billing.reports.table import Table
from billing.reports.to_csv import lines


class OwnerPrinter:
    """`issuer` is who hosts the GPUs."""

    def __init__(self, database: Database, clock: Clock, printer: Printer, issuer: Party) -> None:
        self._database, self._clock, self._printer, self._issuer = database, clock, printer, issuer

    def pdf(self, owner: str, period: Span) -> bytes:
        """An owner's statement of a month, with its figures as CSV attached. No transaction is open while it is printed. Raises
        NotFound, Unavailable when too many papers are waiting."""
        now = self._clock.now().replace(microsecond=0)
        with self._database.transaction() as session:
            month = owner_month(session, owner, period, now)
        table = Table("owner statement", owner, OWNER_STATEMENT, rows(month.currencies))
        attached = "".join(lines(table.header, table.rows)).encode()
        return self._printer.sheet(Sheet("owner.typ", to_paper.content(month, self._issuer), attached))

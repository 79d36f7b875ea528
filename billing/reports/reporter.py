"""Writes reports."""

from collections.abc import Sequence
from enum import StrEnum

from billing.chain.tokens import Token
from billing.core.period import Span
from billing.db.engine import Database
from billing.reports import store, to_csv, to_json
from billing.reports.rows import ReconciliationRow, cells, header


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


class Reporter:
    def __init__(self, database: Database, tokens: Sequence[Token], chains: dict[int, str]) -> None:
        """`chains` are names by chain id."""
        self._database, self._chains = database, chains
        self._tokens = {(token.chain_id, str(token.address)): token for token in tokens}

    def reconciliation_rows(self, period: Span) -> list[ReconciliationRow]:
        label = f"{period.start:%Y-%m}"
        with self._database.transaction() as session:
            return store.reconciliation(session, period, label, self._tokens, self._chains)

    def reconciliation(self, period: Span, file_format: Format) -> bytes:
        """The file's bytes."""
        rows = [cells(row) for row in self.reconciliation_rows(period)]
        if file_format is Format.JSON:
            return to_json.document("reconciliation", f"{period.start:%Y-%m}", header(), rows)
        return "".join(to_csv.lines(header(), rows)).encode()

"""The reconciliation report: one row for each invoice and transfer; invoices without payment and money without invoice too."""

from dataclasses import astuple, dataclass, fields
from datetime import datetime

from billing.reports.table import Column, Kind


@dataclass(frozen=True, slots=True)
class ReconciliationRow:
    """Currency amounts are decimal text; `amount_units` is the token's smallest unit and `amount` its decimal text.

    `difference` is what all standing payments of the invoice are worth, less what was due on it.
    """

    invoice: str
    tenant: str
    period: str
    currency: str
    amount_due: str
    invoice_status: str
    token: str
    chain_id: int | None
    chain: str
    amount_units: str
    amount: str
    value: str
    applied: str
    credited: str
    written_off: str
    difference: str
    kind: str
    disposition: str
    status: str
    confirmations: int | None
    tx_hash: str
    log_index: int | None
    block: int | None
    block_hash: str
    time: datetime | None
    sender: str
    receiver: str
    rate: str
    rate_source: str
    ledger_entry: str
    address: str
    tenant_name: str


COLUMNS = {"sender": "from", "receiver": "to"}
"""Columns whose name is a word that Python keeps for itself."""


CURRENCY_AMOUNTS = ("amount_due", "value", "applied", "credited", "written_off", "difference")
WHOLES = ("chain_id", "confirmations", "log_index", "block")


def columns() -> list[Column]:
    return [_column(field.name) for field in fields(ReconciliationRow)]


def _column(name: str) -> Column:
    if name in CURRENCY_AMOUNTS or name == "amount":
        # an invoice with several payments repeats what is due: only what each payment did can be added up
        return Column(name, Kind.AMOUNT, of="currency" if name in ("applied", "credited", "written_off") else "")
    kind = Kind.WHOLE if name in WHOLES else Kind.TIME if name == "time" else Kind.TEXT
    return Column(COLUMNS.get(name, name), kind)


def cells(row: ReconciliationRow) -> tuple[object, ...]:
    return astuple(row)

"""Rows of write-offs: invoices that somebody decided will not be paid, and how much of them is given up now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from billing.db.tables.invoicing import WriteOffRow


@dataclass(frozen=True, slots=True)
class Decided:
    """Who gave an invoice up, and why."""

    by: str
    reason: str
    at: datetime


def add(session: Session, invoice_id: int, decided: Decided) -> None:
    session.add(WriteOffRow(invoice_id=invoice_id, decided_by=decided.by, reason=decided.reason, created_at=decided.at))
    session.flush()


def given_up(session: Session, invoice_ids: Sequence[int]) -> dict[int, int]:
    """{invoice id: what is given up of it} of the invoices that are written off."""
    rows = session.exec(
        select(WriteOffRow.invoice_id, WriteOffRow.units).where(
            col(WriteOffRow.invoice_id).in_(invoice_ids), col(WriteOffRow.ended_at).is_(None)
        )
    )
    return dict(rows.all())


def set_units(session: Session, invoice_id: int, units: int) -> None:
    row = session.exec(_standing(invoice_id)).one()
    row.units = units
    session.add(row)
    session.flush()


def end(session: Session, invoice_id: int, now: datetime) -> None:
    """The invoice is void: there is nothing left to give up."""
    for row in session.exec(_standing(invoice_id)):
        row.units, row.ended_at = 0, now
        session.add(row)
    session.flush()


def _standing(invoice_id: int):  # type: ignore[no-untyped-def]
    return select(WriteOffRow).where(WriteOffRow.invoice_id == invoice_id, col(WriteOffRow.ended_at).is_(None))

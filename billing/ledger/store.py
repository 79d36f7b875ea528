"""Rows of entries and postings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.db import bulk
from billing.db.tables.ledger import EntryRow, PostingRow
from billing.ledger.account import RECEIVABLE
from billing.ledger.entry import Entry, EntryKind, Posting


@dataclass(frozen=True, slots=True)
class Balance:
    """A line of the trial balance. `debits` and `credits` are turnover; `units` is debits less credits."""

    account: str
    asset: str
    units: int
    debits: int
    credits: int


def post(session: Session, entry: Entry) -> int:
    """Book an entry. The database refuses one that does not balance, or the same kind twice for one transfer."""
    return post_all(session, [entry])[0]


def post_all(session: Session, entries: Sequence[Entry]) -> list[int]:
    """Book entries; returns their ids."""
    ids = bulk.next_ids(session, EntryRow, len(entries))
    rows = [
        {
            "id": entry_id,
            "kind": entry.kind,
            "booked_on": entry.booked_on,
            "happened_at": entry.happened_at,
            "invoice_id": entry.invoice_id,
            "transfer_id": entry.transfer_id,
            "incarnation": entry.incarnation,
            "reverses_id": entry.reverses_id,
            "memo": entry.memo,
            "created_at": entry.happened_at,
        }
        for entry_id, entry in zip(ids, entries, strict=True)
    ]
    bulk.copy(session, EntryRow, rows)
    postings = [
        {
            "entry_id": entry_id,
            "account": posting.account,
            "asset": posting.asset,
            "units": posting.units,
            "tenant_id": posting.tenant_id,
            "invoice_id": posting.invoice_id,
        }
        for entry_id, entry in zip(ids, entries, strict=True)
        for posting in entry.postings
    ]
    bulk.copy(session, PostingRow, postings)
    return ids


def of_transfer(session: Session, transfer_id: int, incarnation: int) -> list[Entry]:
    """The entries of one incarnation that were not reversed, oldest first."""
    rows = session.exec(
        select(EntryRow)
        .where(EntryRow.transfer_id == transfer_id, EntryRow.incarnation == incarnation)
        .order_by(col(EntryRow.id))
    ).all()
    taken_back = {row.reverses_id for row in rows}
    return [_entry(session, row) for row in rows if row.id not in taken_back and row.reverses_id is None]


def of_invoice(session: Session, invoice_id: int) -> list[Entry]:
    """What was booked at an invoice's issue and not reversed: the issue itself and the credit it used."""
    rows = session.exec(
        select(EntryRow)
        .where(EntryRow.invoice_id == invoice_id, col(EntryRow.transfer_id).is_(None))
        .order_by(col(EntryRow.id))
    ).all()
    taken_back = {row.reverses_id for row in rows}
    at_issue = [row for row in rows if row.kind in (EntryKind.ISSUE, EntryKind.CREDIT)]
    return [_entry(session, row) for row in at_issue if row.id not in taken_back]


def reverse(session: Session, entries: Iterable[Entry], now: datetime) -> None:
    for entry in entries:
        post(session, entry.reversed(now))


def _entry(session: Session, row: EntryRow) -> Entry:
    postings = session.exec(select(PostingRow).where(PostingRow.entry_id == row.id).order_by(col(PostingRow.id)))
    return Entry(
        kind=row.kind,
        booked_on=row.booked_on,
        happened_at=row.happened_at,
        postings=tuple(Posting(p.account, p.asset, p.units, p.tenant_id, p.invoice_id) for p in postings),
        invoice_id=row.invoice_id,
        transfer_id=row.transfer_id,
        incarnation=row.incarnation,
        memo=row.memo,
        id=row.id or 0,
        reverses_id=row.reverses_id,
    )


def trial_balance(session: Session) -> list[Balance]:
    """Every account and asset with its balance and turnover. Per asset the balances sum to zero."""
    rows = session.execute(
        text(
            "SELECT account, asset, sum(units) AS units, sum(units) FILTER (WHERE units > 0) AS debits,"
            " -sum(units) FILTER (WHERE units < 0) AS credits FROM posting GROUP BY account, asset ORDER BY account, asset"
        )
    )
    return [Balance(r.account, r.asset, int(r.units), int(r.debits or 0), int(r.credits or 0)) for r in rows]


def balance(session: Session, account: str, asset: str) -> int:
    found = session.execute(
        text("SELECT coalesce(sum(units), 0) FROM posting WHERE account = :account AND asset = :asset"),
        {"account": account, "asset": asset},
    ).scalar_one()
    return int(found)


def remaining(session: Session, invoice_ids: Sequence[int]) -> dict[int, int]:
    """What is still owed on invoices: their part of the receivables, in the currency's smallest unit."""
    rows = session.execute(
        text(
            "SELECT invoice_id, sum(units) AS units FROM posting WHERE account = :account AND invoice_id = ANY(:ids)"
            " GROUP BY invoice_id"
        ),
        {"account": RECEIVABLE, "ids": list(invoice_ids)},
    )
    return {row.invoice_id: int(row.units) for row in rows}


def booked_with(session: Session, kind: str, memo: str, account: str) -> int | None:
    """What entries of a kind and memo put on an account; None when there is no such entry."""
    found = session.execute(
        text(
            "SELECT sum(p.units) FROM entry e JOIN posting p ON p.entry_id = e.id"
            " WHERE e.kind = :kind AND e.memo = :memo AND p.account = :account"
        ),
        {"kind": kind, "memo": memo, "account": account},
    ).scalar_one()
    return None if found is None else int(found)


def accounts_with(session: Session, kind: str, memo: str) -> set[str]:
    """The accounts that entries of a kind and memo touch."""
    rows = session.execute(
        text(
            "SELECT DISTINCT p.account FROM entry e JOIN posting p ON p.entry_id = e.id"
            " WHERE e.kind = :kind AND e.memo = :memo"
        ),
        {"kind": kind, "memo": memo},
    )
    return {row.account for row in rows}

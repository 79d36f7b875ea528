"""Rows of closed months, and what keeps one open."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.closing.closed import Closed, FrozenUsage, KeptFile
from billing.core.period import Span
from billing.db.tables.closing import BookCloseRow, ClosedFileRow
from billing.invoicing.store import payers_with_invoice
from billing.pricing.store.used import charges_digest, newest_charge
from billing.tenants import store as tenants


def lock(session: Session) -> None:
    """Wait for whoever is booking, and let nobody begin: what is closed must not change while it is looked at. Whoever issues
    charges first and books then: the locks are taken in that order."""
    session.execute(text("LOCK TABLE charge, entry IN SHARE ROW EXCLUSIVE MODE"))


def alone(session: Session) -> bool:
    """Be the only one who closes until this transaction ends; False when somebody else does."""
    wanted = text("SELECT pg_try_advisory_xact_lock(hashtextextended('stablemeter books close', 0))")
    return bool(session.execute(wanted).scalar_one())


def closed(session: Session, period: str) -> Closed | None:
    row = session.exec(select(BookCloseRow).where(BookCloseRow.period == period)).first()
    return None if row is None else _closed(session, row)


def all_closed(session: Session) -> list[Closed]:
    """The newest first."""
    rows = session.exec(select(BookCloseRow).order_by(col(BookCloseRow.closed_before).desc()))
    return [_closed(session, row) for row in rows]


def add(session: Session, one: Closed, period: Span) -> None:
    assert one.usage is not None
    session.add(
        BookCloseRow(
            period=one.period,
            first_day=period.start.date(),
            closed_before=period.end.date(),
            closed_at=one.closed_at,
            closed_by=one.closed_by,
            carried=[list(question) for question in one.carried],
            charged_until=one.usage.until,
            charges=one.usage.charges,
            usage_digest=one.usage.digest,
        )
    )
    session.flush()


def freeze(session: Session, period: Span) -> FrozenUsage:
    """What was charged so far for a period's usage. Under `lock`, so that no older charge comes later."""
    until = newest_charge(session)
    return FrozenUsage(until, *charges_digest(session, period, until))


def uninvoiced(session: Session, period: Span, payers: set[int]) -> list[str]:
    """Which of the payers never got an invoice for a period."""
    lacking = payers - payers_with_invoice(session, period).keys()
    return sorted(one.slug for one in tenants.listed(session) if one.id in lacking) if lacking else []


def add_files(session: Session, period: str, files: Sequence[KeptFile]) -> None:
    """The files of a month that is closed and has none yet."""
    close_id = session.exec(select(BookCloseRow.id).where(BookCloseRow.period == period)).one()
    assert close_id is not None
    session.add_all(ClosedFileRow(close_id=close_id, name=one.name, sha256=one.sha256, size=one.size) for one in files)


def first_open_day(session: Session) -> date | None:
    """The first day that has entries and is not closed; None when there is none."""
    found: date | None = session.execute(
        text(
            "SELECT min(booked_on) FROM entry"
            " WHERE booked_on >= coalesce((SELECT max(closed_before) FROM book_close), '-infinity')"
        )
    ).scalar_one()
    return found


def unfinal(session: Session, end: datetime) -> int:
    """How many transfers from before a time may still be taken back, or are not booked yet."""
    found = session.execute(
        text("SELECT count(*) FROM transfer WHERE mined_at < :end AND (state IN ('seen', 'confirmed') OR NOT settled)"),
        {"end": end},
    ).scalar_one()
    return int(found)


def behind(session: Session, chains: Mapping[int, str], end: datetime) -> list[str]:
    """The chains that are not final, and read twice, up to a block from after a time. Only young blocks are remembered: one that is
    mined later than the end, and is final and proven, shows that everything before it is."""
    rows = session.execute(
        text(
            "SELECT c.chain_id FROM chain_state c JOIN chain_proof p ON p.chain_id = c.chain_id WHERE c.stopped = ''"
            " AND c.rewind_to IS NULL AND EXISTS (SELECT FROM block b WHERE b.chain_id = c.chain_id AND b.mined_at >= :end"
            "  AND b.number <= least(c.final_number, p.number))"
        ),
        {"end": end},
    )
    done = {row.chain_id for row in rows}
    return [name for chain_id, name in chains.items() if chain_id not in done]


def open_questions(session: Session, end: datetime) -> list[tuple[str, str, str]]:
    """(kind, subject, detail) of the questions that were asked before a time and are open."""
    rows = session.execute(
        text("SELECT kind, subject, detail FROM exception WHERE status = 'open' AND created_at < :end ORDER BY id"),
        {"end": end},
    )
    return [(row.kind, row.subject, row.detail) for row in rows]


def _closed(session: Session, row: BookCloseRow) -> Closed:
    files = session.exec(select(ClosedFileRow).where(ClosedFileRow.close_id == row.id).order_by(col(ClosedFileRow.id)))
    kept = tuple(KeptFile(one.name, one.sha256, one.size) for one in files)
    assert row.id is not None
    usage = (
        None if row.charged_until is None else FrozenUsage(row.charged_until, row.charges or 0, row.usage_digest or "")
    )
    return Closed(row.id, row.period, row.closed_at, row.closed_by, row.carried, kept, usage)

"""Rows of closed months, and what keeps one open."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.closing.closed import Closed, KeptFile
from billing.core.period import Span
from billing.db.tables.closing import BookCloseRow, ClosedFileRow


def lock(session: Session) -> None:
    """Wait for whoever is booking, and let nobody begin: what is closed must not change while it is looked at."""
    session.execute(text("LOCK TABLE entry IN SHARE ROW EXCLUSIVE MODE"))


def closed(session: Session, period: str) -> Closed | None:
    row = session.exec(select(BookCloseRow).where(BookCloseRow.period == period)).first()
    return None if row is None else _closed(session, row)


def all_closed(session: Session) -> list[Closed]:
    """The newest first."""
    rows = session.exec(select(BookCloseRow).order_by(col(BookCloseRow.closed_before).desc()))
    return [_closed(session, row) for row in rows]


def add(session: Session, label: str, period: Span, who: str, carried: Sequence[Sequence[str]], now: datetime) -> None:
    session.add(
        BookCloseRow(
            period=label,
            first_day=period.start.date(),
            closed_before=period.end.date(),
            closed_at=now,
            closed_by=who,
            carried=[list(one) for one in carried],
        )
    )
    session.flush()


def add_files(session: Session, close_id: int, files: Sequence[KeptFile]) -> None:
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
    return Closed(row.id, row.period, row.closed_at, row.closed_by, row.carried, kept)

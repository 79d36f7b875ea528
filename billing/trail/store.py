"""Rows of the audit trail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from billing.db import bulk
from billing.db.tables.trail import TrailRow


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done. `subject` is written like `invoice INV-2026-000001`."""

    at: datetime
    actor: str
    action: str
    subject: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def record(session: Session, deed: Deed) -> None:
    record_all(session, [deed])


def record_all(session: Session, deeds: Sequence[Deed]) -> None:
    rows = [
        {
            "at": deed.at,
            "actor": deed.actor,
            "action": deed.action,
            "subject": deed.subject,
            "reason": deed.reason,
            "details": dict(deed.details),
        }
        for deed in deeds
    ]
    bulk.copy(session, TrailRow, rows)


def newest(session: Session, action: str) -> Deed | None:
    """The last time that something was done."""
    row = session.exec(
        select(TrailRow).where(TrailRow.action == action).order_by(col(TrailRow.id).desc()).limit(1)
    ).first()
    return None if row is None else Deed(row.at, row.actor, row.action, row.subject, row.reason, row.details)


def about(session: Session, subject: str) -> list[Deed]:
    """Everything that was done to a subject, oldest first."""
    rows = session.exec(select(TrailRow).where(TrailRow.subject == subject).order_by(col(TrailRow.id)))
    return [Deed(r.at, r.actor, r.action, r.subject, r.reason, r.details) for r in rows]


def listed(
    session: Session, *, subject: str | None = None, after_id: int = 0, limit: int = 1000
) -> list[tuple[int, Deed]]:
    """[(row, deed)], oldest first: all, or what was done to a subject."""
    query = select(TrailRow).where(col(TrailRow.id) > after_id).order_by(col(TrailRow.id)).limit(limit)
    if subject is not None:
        query = query.where(TrailRow.subject == subject)
    return [(r.id or 0, Deed(r.at, r.actor, r.action, r.subject, r.reason, r.details)) for r in session.exec(query)]


def latest(session: Session, action: str, limit: int) -> list[tuple[int, Deed]]:
    """(row id, deed) of the newest deeds of a kind, the newest first."""
    rows = session.exec(
        select(TrailRow).where(TrailRow.action == action).order_by(col(TrailRow.id).desc()).limit(limit)
    )
    return [(r.id or 0, Deed(r.at, r.actor, r.action, r.subject, r.reason, r.details)) for r in rows]

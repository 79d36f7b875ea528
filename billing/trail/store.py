"""Rows of the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

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
    session.add(
        TrailRow(
            at=deed.at,
            actor=deed.actor,
            action=deed.action,
            subject=deed.subject,
            reason=deed.reason,
            details=dict(deed.details),
        )
    )


def about(session: Session, subject: str) -> list[Deed]:
    """Everything that was done to a subject, oldest first."""
    rows = session.exec(select(TrailRow).where(TrailRow.subject == subject).order_by(col(TrailRow.id)))
    return [Deed(r.at, r.actor, r.action, r.subject, r.reason, r.details) for r in rows]


def newest(session: Session, action: str, limit: int) -> list[tuple[int, Deed]]:
    """(row id, deed) of the newest deeds of a kind, the newest first."""
    rows = session.exec(
        select(TrailRow).where(TrailRow.action == action).order_by(col(TrailRow.id).desc()).limit(limit)
    )
    return [(r.id or 0, Deed(r.at, r.actor, r.action, r.subject, r.reason, r.details)) for r in rows]

"""Which months changed: what was invoiced for one of them is looked at again."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Seconds, at_second, epoch_seconds, month_of, month_starts


def note(session: Session, window: Seconds, now: datetime) -> None:
    """Remember that something that is billed changed in the months of a window."""
    first = epoch_seconds(month_of(at_second(window[0])).start)
    session.execute(
        text(
            "INSERT INTO usage_month (start, changed_at) SELECT to_timestamp(start), :now"
            " FROM unnest(CAST(:starts AS bigint[])) AS start ON CONFLICT (start) DO UPDATE"
            " SET changed_at = greatest(usage_month.changed_at, EXCLUDED.changed_at)"
        ),
        {"starts": [first, *month_starts((first, window[1]))], "now": now},
    )


def note_subject(session: Session, subject: str, now: datetime) -> None:
    """A subject of pushed events has come to mean somebody: the months since its first event changed. This looks at every
    event once; tenants and labels are added seldom."""
    first = session.execute(
        text("SELECT extract(epoch FROM min(happened_at))::bigint FROM event WHERE subject = :subject"),
        {"subject": subject},
    ).scalar_one()
    if first is not None and first < epoch_seconds(now):
        note(session, (first, epoch_seconds(now)), now)


def month_to_look_at(session: Session, before: datetime) -> datetime | None:
    """The start of an invoiced month that changed since it was looked at, which was before a time."""
    found: datetime | None = session.execute(
        text(
            "SELECT start FROM usage_month m WHERE (asked_at IS NULL OR asked_at <= changed_at AND asked_at < :before)"
            " AND EXISTS (SELECT FROM invoice i"
            " WHERE i.status <> 'void' AND i.period && tstzrange(m.start, m.start + interval '1 month'))"
            " ORDER BY start LIMIT 1"
        ),
        {"before": before},
    ).scalar_one_or_none()
    return found


def mark_looked_at(session: Session, start: datetime, now: datetime) -> None:
    session.execute(text("UPDATE usage_month SET asked_at = :now WHERE start = :start"), {"start": start, "now": now})


def look_again(session: Session) -> None:
    """Every month is to be looked at: what has a price has changed."""
    session.execute(text("UPDATE usage_month SET asked_at = NULL WHERE asked_at IS NOT NULL"))

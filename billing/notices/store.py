"""Rows of notices and deliveries."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.db import bulk
from billing.db.tables.notices import DeliveryRow, NoticeRow
from billing.notices.notice import MAIL_ONLY, DeliveryState, Notice, content, next_attempt


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that is about to be made, counted already. `email` is the tenant's, as it is now."""

    delivery_id: int
    message_id: str
    content: bytes
    attempts: int
    email: str = ""


def tell(session: Session, notice: Notice, now: datetime) -> bool:
    """Put a notice into the outbox, in the caller's transaction. False when it was told before (only with `once`)."""
    row = _row(notice, now)
    added = insert(NoticeRow).values(**row).on_conflict_do_nothing(index_elements=["once"]).returning(col(NoticeRow.id))
    return session.execute(added).scalar_one_or_none() is not None


def tell_all(session: Session, told: Sequence[Notice], now: datetime) -> None:
    """Put notices into the outbox that nothing keeps from being told twice."""
    assert not any(notice.once for notice in told)
    bulk.copy(session, NoticeRow, [_row(notice, now) for notice in told])


def _row(notice: Notice, now: datetime) -> dict[str, Any]:
    return {
        "message_id": f"msg_{uuid.uuid4().hex}",
        "type": notice.type.value,
        "subject": notice.subject,
        "tenant_id": notice.tenant_id,
        "once": notice.once,
        "content": content(notice, now),
        "created_at": now,
    }


@dataclass(frozen=True, slots=True)
class Wants:
    """Which types a receiver is told; none means all. `by_mail`: only what is about a tenant that has an e-mail address."""

    types: frozenset[str] = frozenset()
    by_mail: bool = False


def spread(session: Session, receivers: Mapping[str, Wants], now: datetime, limit: int) -> int:
    """Make a delivery of each new notice for every receiver that wants it. Returns how many notices were new."""
    rows = session.exec(
        select(NoticeRow)
        .where(col(NoticeRow.spread_at).is_(None))
        .order_by(col(NoticeRow.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    emails = _emails(session, [row.tenant_id for row in rows if row.tenant_id is not None])
    for row in rows:
        row.spread_at = now
        session.add(row)
        session.add_all(
            DeliveryRow(notice_id=row.id or 0, receiver=name, due_at=now)
            for name, wants in receivers.items()
            if _wanted(row, wants, emails)
        )
    session.flush()
    return len(rows)


def _wanted(row: NoticeRow, wants: Wants, emails: Mapping[int, str]) -> bool:
    if row.type in MAIL_ONLY:
        return wants.by_mail
    return (not wants.types or row.type in wants.types) and (not wants.by_mail or bool(emails.get(row.tenant_id or 0)))


def _emails(session: Session, tenant_ids: Sequence[int]) -> dict[int, str]:
    found = session.execute(text("SELECT id, email FROM tenant WHERE id = ANY(:ids)"), {"ids": list(tenant_ids)})
    return {row.id: row.email for row in found}


def claim(session: Session, receiver: str, now: datetime) -> Claimed | None:
    """Take the delivery that is due first, and count the attempt before it is made: who dies on the way has failed."""
    found = session.exec(
        select(DeliveryRow, NoticeRow)
        .join(NoticeRow, col(NoticeRow.id) == DeliveryRow.notice_id)
        .where(DeliveryRow.receiver == receiver, DeliveryRow.state == DeliveryState.WAITING)
        .where(col(DeliveryRow.due_at) <= now)
        .order_by(col(DeliveryRow.due_at), col(DeliveryRow.id))
        .limit(1)
        .with_for_update(of=DeliveryRow, skip_locked=True)
    ).first()
    if found is None:
        return None
    row, notice = found
    row.attempts += 1
    row.answer = "no answer was noted"
    again = next_attempt(row.attempts, now)
    row.state, row.due_at = (DeliveryState.DEAD, now) if again is None else (DeliveryState.WAITING, again)
    session.add(row)
    session.flush()
    if notice.type in MAIL_ONLY:
        email = str(json.loads(notice.content)["data"]["to"])
    else:
        email = _emails(session, [notice.tenant_id]).get(notice.tenant_id, "") if notice.tenant_id is not None else ""
    return Claimed(row.id or 0, notice.message_id, notice.content, row.attempts, email)


def note(session: Session, claimed: Claimed, state: DeliveryState | None, answer: str, now: datetime) -> None:
    """Write down what came of an attempt; a `state` of None leaves it to the next attempt."""
    row = session.get_one(DeliveryRow, claimed.delivery_id, with_for_update=True)
    row.answer = answer[:200]
    if state is not None:
        row.state, row.done_at = state, now
    session.add(row)
    session.flush()


def replay(session: Session, now: datetime, *, notice_ids: Sequence[int] = (), dead: bool = False) -> int:
    """Send again, from the first attempt: these notices to everyone, or whatever is dead. Returns how many deliveries."""
    where = "state = 'dead'" if dead else "notice_id = ANY(:ids)"
    done = session.execute(
        text(
            "UPDATE delivery SET state = 'waiting', attempts = 0, due_at = :now, done_at = NULL, answer = 'to be sent again'"
            f" WHERE {where} RETURNING id"
        ),
        {"now": now} | ({} if dead else {"ids": list(notice_ids)}),
    )
    return len(done.all())


def listed(session: Session, *, state: str | None = None, after_id: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """Notices by age, newest last, with a row for each receiver; one that nobody receives has empty columns."""
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT n.id, n.message_id, n.type, n.subject, t.slug AS tenant, n.created_at, d.receiver, d.state,"
            " d.attempts, d.answer, CASE WHEN d.state = 'waiting' THEN d.due_at END AS next_attempt_at"
            " FROM notice n LEFT JOIN delivery d ON d.notice_id = n.id LEFT JOIN tenant t ON t.id = n.tenant_id"
            " WHERE n.id > :after AND (CAST(:state AS text) IS NULL OR d.state = :state)"
            " ORDER BY n.id DESC, d.receiver DESC LIMIT :limit) AS newest ORDER BY id, receiver"
        ),
        {"after": after_id, "state": state, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]


def deliveries(
    session: Session, *, state: str | None = None, after_id: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """A row for each notice and receiver, oldest first, page by page: `row` is where it stands in that order. A notice that nobody
    receives has a row too."""
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT row_number() OVER (ORDER BY n.id, d.receiver) AS row, n.id AS notice, n.message_id, n.type,"
            " n.subject, t.slug AS tenant, n.created_at, d.receiver, d.state, d.attempts, d.answer,"
            " CASE WHEN d.state = 'waiting' THEN d.due_at END AS next_attempt_at"
            " FROM notice n LEFT JOIN delivery d ON d.notice_id = n.id LEFT JOIN tenant t ON t.id = n.tenant_id"
            " WHERE CAST(:state AS text) IS NULL OR d.state = :state) AS told WHERE row > :after ORDER BY row LIMIT :limit"
        ),
        {"after": after_id, "state": state, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]


def letters(session: Session, now: datetime) -> list[dict[str, Any]]:
    """By receiver: how many deliveries are dead, how many wait, and since when the oldest of those is due."""
    rows = session.execute(
        text(
            "SELECT receiver, count(*) FILTER (WHERE state = 'dead') AS dead, count(*) FILTER (WHERE state = 'waiting') AS waiting,"
            " count(*) FILTER (WHERE state = 'waiting' AND attempts > 0) AS retried,"
            " max(done_at) AS delivered_at, extract(epoch FROM :now - min(due_at) FILTER (WHERE state = 'waiting'))::bigint"
            " AS due_seconds FROM delivery GROUP BY receiver ORDER BY receiver"
        ),
        {"now": now},
    )
    return [dict(row._mapping) for row in rows]

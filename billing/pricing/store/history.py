"""Rows of price books as they were applied."""

from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.core.errors import NotFound


def applied(session: Session, *, before_id: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """Books, the newest first, with how many prices and agreements of each are in force now."""
    rows = session.execute(
        text(
            "SELECT b.id, b.digest, b.applied_at, b.applied_by, octet_length(b.content) AS bytes,"
            " (SELECT count(*) FROM price p WHERE p.book_id = b.id AND p.superseded_at IS NULL) AS prices,"
            " (SELECT count(*) FROM agreement a WHERE a.book_id = b.id AND a.superseded_at IS NULL) AS agreements,"
            " (SELECT max(o.id) FROM price_book o WHERE o.id < b.id) AS previous"
            " FROM price_book b WHERE :before = 0 OR b.id < :before ORDER BY b.id DESC LIMIT :limit"
        ),
        {"before": before_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def content(session: Session, book_id: int) -> str:
    """A book as it was applied, byte for byte. Raises NotFound."""
    found: str | None = session.execute(
        text("SELECT content FROM price_book WHERE id = :id"), {"id": book_id}
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"there is no price book {book_id}")
    return found

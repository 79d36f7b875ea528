"""Rows of quotes. They are never changed and never deleted: they are what payers were told."""

from datetime import datetime

from sqlmodel import Session, col, select

from billing.db.tables.quotes import QuoteRow
from billing.quotes.feed import Feed, Rate
from billing.quotes.quote import FeedKey, Quote


def add(session: Session, key: FeedKey, quote: Quote) -> None:
    session.add(
        QuoteRow(
            chain_id=key[0],
            feed_address=key[1],
            inverted=key[2],
            rate=quote.rate.value,
            rate_source=quote.rate.source,
            rate_at=quote.rate.at,
            valid_from=quote.since,
            valid_until=quote.until,
        )
    )


def live(session: Session, chain_id: int, feed: Feed, at: datetime) -> list[Quote]:
    """The quotes of a feed that held at a time, oldest first."""
    rows = session.exec(
        select(QuoteRow)
        .where(
            QuoteRow.chain_id == chain_id,
            QuoteRow.feed_address == feed.address,
            QuoteRow.inverted == feed.inverted,
            QuoteRow.valid_from <= at,
            QuoteRow.valid_until > at,
        )
        .order_by(col(QuoteRow.id))
    )
    return [_quote(row) for row in rows]


def last(session: Session, chain_id: int, feed: Feed) -> Quote | None:
    """The newest quote of a feed, whether it holds still or not."""
    row = session.exec(
        select(QuoteRow)
        .where(QuoteRow.chain_id == chain_id, QuoteRow.feed_address == feed.address, QuoteRow.inverted == feed.inverted)
        .order_by(col(QuoteRow.valid_until).desc(), col(QuoteRow.id).desc())
        .limit(1)
    ).first()
    return None if row is None else _quote(row)


def newest(session: Session, now: datetime) -> dict[FeedKey, Quote]:
    """The newest quote of each feed, of those that hold now."""
    rows = session.exec(select(QuoteRow).where(QuoteRow.valid_until > now).order_by(col(QuoteRow.id)))
    return {(row.chain_id, row.feed_address, row.inverted): _quote(row) for row in rows}


def _quote(row: QuoteRow) -> Quote:
    return Quote(Rate(row.rate, row.rate_source, row.rate_at), row.valid_from, row.valid_until)

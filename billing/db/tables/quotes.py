"""Quotes: rates that payers were promised."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlmodel import Field, SQLModel

from billing.db.columns import Price, UtcTime, key


class QuoteRow(SQLModel, table=True):
    """The rate of a feed, promised for a while. Rows are never changed."""

    __tablename__: ClassVar[Any] = "quote"
    __table_args__ = (
        Index("ix_quote_valid_until", "valid_until"),
        Index("ix_quote_feed", "chain_id", "feed_address", "inverted", "valid_until"),
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("valid_until > valid_from", name="life"),
    )

    id: int | None = key()
    chain_id: int = Field(sa_type=BigInteger)
    feed_address: str
    inverted: bool
    rate: Any = Field(sa_type=Price)
    rate_source: str
    rate_at: datetime = Field(sa_type=UtcTime)
    valid_from: datetime = Field(sa_type=UtcTime)
    valid_until: datetime = Field(sa_type=UtcTime)

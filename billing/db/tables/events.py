"""Events as they were pushed."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from billing.db.columns import Json, UtcTime


class EventRow(SQLModel, table=True):
    """One event, for ever: append only, and (source, id) is never taken twice. Not partitioned: a unique rule cannot span
    partitions. `data` is JSONB, whose numbers keep every digit."""

    __tablename__: ClassVar[Any] = "event"
    __table_args__ = (Index("ix_event_type", "type", "happened_at"),)

    source: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    type: str
    subject: str
    happened_at: datetime = Field(sa_type=UtcTime)
    received_at: datetime = Field(sa_type=UtcTime)
    data: Any = Field(default=None, sa_type=Json, nullable=True)

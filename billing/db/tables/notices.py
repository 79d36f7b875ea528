"""Notices: what others are told, and how far each receiver was told it."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime, key, ref, ref_or_none


class NoticeRow(SQLModel, table=True):
    """The outbox: written in the transaction in which the thing happened. `content` is the exact body that every receiver
    gets. `spread_at` is when its deliveries were made. `once` keeps what is derived from being told twice."""

    __tablename__: ClassVar[Any] = "notice"
    __table_args__ = (Index("ix_notice_unspread", "id", postgresql_where=text("spread_at is null")),)

    id: int | None = key()
    message_id: str = Field(unique=True)
    type: str
    subject: str
    tenant_id: int | None = ref_or_none("tenant.id", index=True)
    once: str | None = Field(default=None, nullable=True, unique=True)
    content: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=UtcTime)
    spread_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class DeliveryRow(SQLModel, table=True):
    """A notice for one receiver. While it waits, `due_at` is when it is tried next; `answer` is what came last."""

    __tablename__: ClassVar[Any] = "delivery"
    __table_args__ = (
        UniqueConstraint("notice_id", "receiver"),
        CheckConstraint("state in ('waiting', 'delivered', 'dead')", name="state"),
        Index("ix_delivery_waiting", "receiver", "due_at", postgresql_where=text("state = 'waiting'")),
    )

    id: int | None = key()
    notice_id: int = ref("notice.id")
    receiver: str
    state: str = "waiting"
    attempts: int = 0
    due_at: datetime = Field(sa_type=UtcTime)
    answer: str = ""
    done_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

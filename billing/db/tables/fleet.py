"""The inventory: physical GPUs and the devices that they are used as."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import SeatColumn, SpanColumn, UtcTime, key, ref


class GpuRow(SQLModel, table=True):
    """A physical GPU. Its slots are `[840 id, 840 (id + 1))`. `source`, `host` and `instance` are where it was seen last."""

    __tablename__: ClassVar[Any] = "gpu"

    id: int | None = key()
    uuid: str = Field(unique=True)
    model: str
    host: str = Field(index=True)
    instance: str
    source: str = Field(index=True)
    in_service: Span = Field(sa_type=SpanColumn)
    last_seen_at: datetime = Field(sa_type=UtcTime)


class PlaceRow(SQLModel, table=True):
    """A source saw a GPU during a span, on a host, through an exporter. Spans of one GPU and source do not overlap."""

    __tablename__: ClassVar[Any] = "place"
    __table_args__ = (
        Index("uq_place_start", "gpu_id", "source", text("lower(during)"), unique=True),
        Index("ix_place_end", "gpu_id", text("upper(during)")),
    )

    id: int | None = key()
    gpu_id: int = ref("gpu.id")
    source: str
    host: str
    instance: str
    during: Span = Field(sa_type=SpanColumn)


class DeviceRow(SQLModel, table=True):
    """A whole GPU (`gpu_i_id` and `profile` empty) or one MIG instance. Ids are reused: `first_seen_at` tells them apart."""

    __tablename__: ClassVar[Any] = "device"
    __table_args__ = (UniqueConstraint("gpu_id", "gpu_i_id", "profile", "first_seen_at"),)

    id: int | None = key()
    gpu_id: int = ref("gpu.id")
    gpu_i_id: str = ""
    profile: str = ""
    seat: tuple[int, int] = Field(sa_type=SeatColumn)
    first_seen_at: datetime = Field(sa_type=UtcTime)
    last_seen_at: datetime = Field(sa_type=UtcTime)

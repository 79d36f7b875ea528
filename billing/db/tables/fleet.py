"""The inventory: physical GPUs and the devices that they are used as."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import SeatColumn, SpanColumn, UtcTime, key, ref


class GpuRow(SQLModel, table=True):
    """A physical GPU. Its slots are `[840 id, 840 (id + 1))`. `source` and `instance` are its newest place; `in_service` is
    from the first place until the end of the last."""

    __tablename__: ClassVar[Any] = "gpu"

    id: int | None = key()
    uuid: str = Field(unique=True)
    model: str
    host: str = Field(index=True)
    instance: str
    source: str = Field(index=True)
    in_service: Span = Field(sa_type=SpanColumn)
    last_seen_at: datetime = Field(sa_type=UtcTime)
    changed: Span | None = Field(default=None, sa_type=SpanColumn, nullable=True)
    """The span whose usage must be derived again, because service began earlier or ended; empty once metering has done so."""


class PlaceRow(SQLModel, table=True):
    """Where a GPU was during a part of its service: under which source, whose word about it counts then, and behind which
    exporter. Time between places is out of service."""

    __tablename__: ClassVar[Any] = "place"
    __table_args__ = (
        ExcludeConstraint(
            (text("int8range(gpu_id, gpu_id, '[]')"), "&&"), ("during", "&&"), name="ex_place_one_place", using="gist"
        ),
    )

    id: int | None = key()
    gpu_id: int = ref("gpu.id", index=True)
    source: str = Field(index=True)
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

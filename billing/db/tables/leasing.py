"""Leases: a tenant holds a GPU from..to."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import SeatColumn, SpanColumn, UtcTime, key, ref


class LeaseRow(SQLModel, table=True):
    """One GPU of a lease. `reference` is the contract's name and groups the GPUs that were let together."""

    __tablename__: ClassVar[Any] = "lease"
    __table_args__ = (
        ExcludeConstraint(
            ("seat", "&&"),
            ("during", "&&"),
            name="ex_lease_one_holder",
            using="gist",
            where=text("cancelled_at is null"),
        ),
    )

    id: int | None = key()
    reference: str = Field(index=True)
    tenant_id: int = ref("tenant.id", index=True)
    gpu_id: int = ref("gpu.id")
    seat: tuple[int, int] = Field(sa_type=SeatColumn)
    during: Span = Field(sa_type=SpanColumn)
    created_at: datetime = Field(sa_type=UtcTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    changed: Span | None = Field(default=None, sa_type=SpanColumn, nullable=True)
    """The span whose usage must be derived again; empty once metering has done so."""

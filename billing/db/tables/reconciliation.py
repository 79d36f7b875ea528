"""Payments (transfers that were matched) and exceptions (what needs a person)."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing.db.columns import Price, Units, UtcTime, key, ref, ref_or_none


class PaymentRow(SQLModel, table=True):
    """How one incarnation of a transfer was dealt with. `value_units` is in the invoice's currency."""

    __tablename__: ClassVar[Any] = "payment"
    __table_args__ = (UniqueConstraint("transfer_id", "incarnation"),)

    id: int | None = key()
    transfer_id: int = ref("transfer.id")
    incarnation: int
    invoice_id: int | None = ref_or_none("invoice.id", index=True)
    tenant_id: int | None = ref_or_none("tenant.id", index=True)
    disposition: str = Field(index=True)
    kind: str
    late: bool = False
    currency: str = ""
    value_units: int = Field(default=0, sa_type=Units)
    applied_units: int = Field(default=0, sa_type=Units)
    credited_units: int = Field(default=0, sa_type=Units)
    written_off_units: int = Field(default=0, sa_type=Units)
    rate: Any = Field(default=None, sa_type=Price, nullable=True)
    rate_source: str = ""
    rate_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    fx_units: int = Field(default=0, sa_type=Units)
    reason: str = ""
    created_at: datetime = Field(sa_type=UtcTime)
    updated_at: datetime = Field(sa_type=UtcTime)


class ExceptionRow(SQLModel, table=True):
    """A question for a person. Resolving it needs a reason and is kept in the trail."""

    __tablename__: ClassVar[Any] = "exception"
    __table_args__ = (
        Index(
            "uq_exception_one_open",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text("status = 'open'"),
        ),
        CheckConstraint("status in ('open', 'resolved')", name="status"),
    )

    id: int | None = key()
    kind: str
    subject: str
    transfer_id: int | None = ref_or_none("transfer.id", index=True)
    invoice_id: int | None = ref_or_none("invoice.id", index=True)
    tenant_id: int | None = ref_or_none("tenant.id", index=True)
    detail: str
    suggestion: str = ""
    status: str = "open"
    resolution: str = ""
    reason: str = ""
    resolved_by: str = ""
    created_at: datetime = Field(sa_type=UtcTime)
    resolved_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

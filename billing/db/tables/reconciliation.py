"""Payments (transfers that were matched), exceptions (what needs a person), and what persons decided: assignments, refunds."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
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


class AssignmentRow(SQLModel, table=True):
    """A person applied so much of a suspended payment, in the invoice's currency, to an invoice. `applied_units` and
    `written_off_units` are what matching makes of it now. It ends with the incarnation of the transfer."""

    __tablename__: ClassVar[Any] = "assignment"
    __table_args__ = (
        UniqueConstraint("payment_id", "invoice_id"),
        CheckConstraint("units > 0", name="positive"),
        CheckConstraint("applied_units between 0 and units", name="applied"),
    )

    id: int | None = key()
    payment_id: int = ref("payment.id")
    invoice_id: int = ref("invoice.id", index=True)
    units: int = Field(sa_type=Units)
    applied_units: int = Field(default=0, sa_type=Units)
    written_off_units: int = Field(default=0, sa_type=Units)
    decided_by: str
    reason: str
    created_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class RefundRow(SQLModel, table=True):
    """Money that is owed back: all of a suspended payment, or overpaid credit (then `currency` and `value_units` say how much
    of it). `paid_by_transfer_id` is the treasury's transfer that paid it."""

    __tablename__: ClassVar[Any] = "refund"
    __table_args__ = (
        CheckConstraint("state in ('owed', 'paid', 'gone')", name="state"),
        CheckConstraint("units > 0", name="positive"),
        CheckConstraint("(state = 'paid') = (paid_by_transfer_id is not null)", name="paid_by"),
        Index(
            "uq_refund_paid_once",
            "paid_by_transfer_id",
            unique=True,
            postgresql_where=text("paid_by_transfer_id is not null"),
        ),
    )

    id: int | None = key()
    payment_id: int = ref("payment.id", index=True)
    tenant_id: int | None = ref_or_none("tenant.id", index=True)
    chain_id: int = Field(sa_type=BigInteger)
    token_address: str
    units: int = Field(sa_type=Units)
    currency: str = ""
    value_units: int = Field(default=0, sa_type=Units)
    state: str = "owed"
    decided_by: str
    reason: str
    created_at: datetime = Field(sa_type=UtcTime)
    paid_by_transfer_id: int | None = ref_or_none("transfer.id")
    paid_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

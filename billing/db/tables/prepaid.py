"""Tenants that pay before they use: their deposit addresses' documents, their terms, and where they stood last."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from billing.db.columns import Units, UtcTime, key, ref, ref_or_none


class DepositDocumentRow(SQLModel, table=True):
    """What a tenant's deposit address follows from. A tenant has a chain of them in each currency: one begins it, and each is
    replaced by one other at most; the last one is shown, all stay watched. Append only."""

    __tablename__: ClassVar[Any] = "deposit_document"
    __table_args__ = (
        Index("uq_deposit_document_first", "tenant_id", "currency", unique=True, postgresql_where=text("replaces_id is null")),
        Index("uq_deposit_document_replaced_once", "replaces_id", unique=True, postgresql_where=text("replaces_id is not null")),
    )  # fmt: skip

    id: int | None = key()
    number: str = Field(unique=True)
    series: str
    tenant_id: int = ref("tenant.id", index=True)
    currency: str
    exponent: int
    document: bytes = Field(sa_type=LargeBinary)
    digest: str = Field(unique=True)
    replaces_id: int | None = ref_or_none("deposit_document.id")
    issued_at: datetime = Field(sa_type=UtcTime)


class PrepaidTermRow(SQLModel, table=True):
    """A tenant that pays before it uses. Without a row it does not. The balance is low below `low_units`, or when it lasts for
    fewer than `low_days` days."""

    __tablename__: ClassVar[Any] = "prepaid_term"
    __table_args__ = (CheckConstraint("low_units >= 0 and low_days > 0", name="low"),)

    tenant_id: int = Field(foreign_key="tenant.id", primary_key=True, sa_type=BigInteger)
    low_units: int | None = Field(default=None, sa_type=Units, nullable=True)
    low_days: int | None = Field(default=None, nullable=True)
    suspend_at_zero: bool = False
    set_at: datetime = Field(sa_type=UtcTime)


class PrepaidLevelRow(SQLModel, table=True):
    """What a tick found of a prepaid tenant: what it used and was not invoiced for, and how full it was. `state_at` is since
    when it is so."""

    __tablename__: ClassVar[Any] = "prepaid_level"
    __table_args__ = (CheckConstraint("state in ('good', 'low', 'exhausted')", name="state"),)

    tenant_id: int = Field(foreign_key="tenant.id", primary_key=True, sa_type=BigInteger)
    currency: str
    exponent: int
    accrued_units: int = Field(sa_type=Units)
    per_day_units: int = Field(sa_type=Units)
    state: str
    state_at: datetime = Field(sa_type=UtcTime)
    looked_at: datetime = Field(sa_type=UtcTime)

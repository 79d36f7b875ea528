"""Payees: addresses that refunds of a tenant may go to."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime, key, ref


class PayeeRow(SQLModel, table=True):
    """One person proposed it, another one confirmed it. A tenant has one confirmed payee a chain that was not revoked."""

    __tablename__: ClassVar[Any] = "payee"
    __table_args__ = (
        CheckConstraint("confirmed_by is null or confirmed_by <> proposed_by", name="two_people"),
        CheckConstraint("(confirmed_by is null) = (confirmed_at is null)", name="confirmed"),
        Index(
            "uq_payee_one_confirmed",
            "tenant_id",
            "chain_id",
            unique=True,
            postgresql_where=text("confirmed_at is not null and revoked_at is null"),
        ),
        Index(
            "uq_payee_one_standing",
            "tenant_id",
            "chain_id",
            "address",
            unique=True,
            postgresql_where=text("revoked_at is null"),
        ),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id")
    chain_id: int = Field(sa_type=BigInteger)
    address: str
    reason: str
    proposed_by: str
    proposed_at: datetime = Field(sa_type=UtcTime)
    confirmed_by: str | None = Field(default=None, nullable=True)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    revoked_by: str | None = Field(default=None, nullable=True)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

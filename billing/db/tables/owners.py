"""Owners of GPUs: who owns which part when, the operator's fee, what was settled, and whom payouts go to."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import SpanColumn, Units, UtcTime, key, ref, ref_or_none


class OwnerRow(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "owner"

    id: int | None = key()
    slug: str = Field(unique=True)
    name: str
    legal_name: str = ""
    country: str = ""
    email: str = ""
    created_at: datetime = Field(sa_type=UtcTime)


class ShareRow(SQLModel, table=True):
    """Parts of a physical GPU, 720,720,000 of which are all of it. A trigger refuses more than all at any moment."""

    __tablename__: ClassVar[Any] = "gpu_share"
    __table_args__ = (CheckConstraint("parts > 0 and parts <= 720720000", name="parts"),)

    id: int | None = key()
    owner_id: int = ref("owner.id", index=True)
    gpu_id: int = ref("gpu.id", index=True)
    parts: int = Field(sa_type=BigInteger)
    during: Span = Field(sa_type=SpanColumn)
    created_at: datetime = Field(sa_type=UtcTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class FeeRow(SQLModel, table=True):
    """What the operator keeps of an owner's part, from `since` on. Append only: of one start the newest row counts."""

    __tablename__: ClassVar[Any] = "owner_fee"
    __table_args__ = (CheckConstraint("basis_points >= 0 and basis_points <= 10000", name="basis_points"),)

    id: int | None = key()
    owner_id: int = ref("owner.id", index=True)
    basis_points: int
    since: datetime = Field(sa_type=UtcTime)
    created_at: datetime = Field(sa_type=UtcTime)


class SettlementRow(SQLModel, table=True):
    """A run that found something to book. Without an entry when the operator's fee took all of it."""

    __tablename__: ClassVar[Any] = "owner_settlement"

    id: int | None = key()
    entry_id: int | None = ref_or_none("entry.id")
    booked_on: date = Field(index=True)
    settled_at: datetime = Field(sa_type=UtcTime)
    settled_by: str


class SettlementLineRow(SQLModel, table=True):
    """By how much an owner's part of what was collected on an invoice for a GPU changed: the difference to all lines before."""

    __tablename__: ClassVar[Any] = "owner_settlement_line"
    __table_args__ = (CheckConstraint("collected <> 0 or fee <> 0", name="not_zero"),)

    id: int | None = key()
    settlement_id: int = ref("owner_settlement.id", index=True)
    owner_id: int = ref("owner.id", index=True)
    invoice_id: int = ref("invoice.id", index=True)
    gpu_id: int = ref("gpu.id")
    currency: str
    collected: int = Field(sa_type=Units)
    fee: int = Field(sa_type=Units)


class LookedRow(SQLModel, table=True):
    """When an invoice was looked at last, what had been collected on it then, and a digest of all shares and fees: while none of
    them changes, it need not be looked at again soon."""

    __tablename__: ClassVar[Any] = "owner_look"

    invoice_id: int = Field(
        foreign_key="invoice.id", primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    collected: int = Field(sa_type=Units)
    shares_digest: str
    looked_at: datetime = Field(sa_type=UtcTime)


class PayeeRow(SQLModel, table=True):
    """An address that an owner is paid at on a chain: proposed by one person, confirmed by another."""

    __tablename__: ClassVar[Any] = "owner_payee"
    __table_args__ = (
        Index(
            "uq_owner_payee_in_force", "owner_id", "chain_id", unique=True,
            postgresql_where=text("confirmed_at is not null and ended_at is null"),
        ),
        Index(
            "uq_owner_payee_proposed", "owner_id", "chain_id", unique=True,
            postgresql_where=text("confirmed_at is null and ended_at is null"),
        ),
        CheckConstraint("confirmed_by <> proposed_by", name="two_people"),
        CheckConstraint("(confirmed_by is null) = (confirmed_at is null)", name="confirmed"),
    )  # fmt: skip

    id: int | None = key()
    owner_id: int = ref("owner.id")
    chain_id: int = Field(sa_type=BigInteger)
    address: str
    proposed_by: str
    proposed_at: datetime = Field(sa_type=UtcTime)
    confirmed_by: str | None = Field(default=None, nullable=True)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

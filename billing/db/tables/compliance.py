"""Lists of sanctioned addresses, what screening said of payments, and what is known of tenants."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing.db.columns import Texts, UtcTime, key, ref


class SanctionsListRow(SQLModel, table=True):
    """A version of a list; the newest of a name counts. `dated` grows while the file is the same, `problem` says why the file
    cannot be read now, `dropped_at` that the settings do not name it any more. `looked_back_at` is when earlier payments were
    compared with it."""

    __tablename__: ClassVar[Any] = "sanctions_list"
    __table_args__ = (Index("ix_sanctions_list_name", "name", "id"),)

    id: int | None = key()
    name: str
    digest: str
    addresses: list[str] = Field(sa_type=Texts)
    dated: datetime = Field(sa_type=UtcTime)
    stale_after_days: int
    problem: str = ""
    read_at: datetime = Field(sa_type=UtcTime)
    looked_back_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    dropped_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class ScreeningRow(SQLModel, table=True):
    """What the screening of one incarnation of a transfer said. `hit` is empty when nobody was on a list."""

    __tablename__: ClassVar[Any] = "screening"
    __table_args__ = (UniqueConstraint("transfer_id", "incarnation"),)

    id: int | None = key()
    transfer_id: int = ref("transfer.id")
    incarnation: int
    sender: str = Field(index=True)
    signer: str = Field(index=True)
    hit: str = ""
    screened_by: list[str] = Field(sa_type=Texts)
    screened_at: datetime = Field(sa_type=UtcTime)


class KycRow(SQLModel, table=True):
    """What was found out about who a tenant is. The newest row counts."""

    __tablename__: ClassVar[Any] = "kyc"
    __table_args__ = (CheckConstraint("status in ('none', 'pending', 'verified', 'rejected')", name="status"),)

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    status: str
    decided_on: date
    reason: str
    recorded_by: str
    recorded_at: datetime = Field(sa_type=UtcTime)


class AttestationRow(SQLModel, table=True):
    """What somebody attested of a tenant, from a day on until before another one. It is revoked, never changed."""

    __tablename__: ClassVar[Any] = "attestation"
    __table_args__ = (
        CheckConstraint("granted_on < expires_on", name="span"),
        Index(
            "uq_attestation_reference", "tenant_id", "kind", "reference", unique=True,
            postgresql_where=text("revoked_at is null"),
        ),
    )  # fmt: skip

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    kind: str
    granted_on: date
    expires_on: date
    reference: str
    recorded_by: str
    recorded_at: datetime = Field(sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    revoked_by: str = ""
    revoked_reason: str = ""

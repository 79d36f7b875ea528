"""Tenants, the labels that mean them, and API keys."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import Price, SpanColumn, Units, UtcTime, key, ref, ref_or_none


class TenantRow(SQLModel, table=True):
    """Somebody who is billed, directly or through a reseller."""

    __tablename__: ClassVar[Any] = "tenant"
    __table_args__ = (CheckConstraint("attribution in ('lease', 'observed')", name="attribution"),)

    id: int | None = key()
    slug: str = Field(unique=True)
    name: str
    legal_name: str = ""
    country: str = ""
    email: str = ""
    attribution: str
    reseller_id: int | None = ref_or_none("tenant.id")
    tolerance_units: int = Field(default=1, sa_type=Units)
    terms_days: int = 14
    address: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    tax_id: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    purchase_order: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    created_at: datetime = Field(sa_type=UtcTime)


class ClaimRow(SQLModel, table=True):
    """From `during.start` on, `label` in `source` means this tenant. An empty source means every source."""

    __tablename__: ClassVar[Any] = "tenant_claim"
    __table_args__ = (
        # One label, one moment, one tenant. A hash range stands in for text equality, which gist has only with a contrib module.
        ExcludeConstraint(
            (
                text(
                    "int8range(hashtextextended(source || chr(10) || label, 0),"
                    " hashtextextended(source || chr(10) || label, 0), '[]')"
                ),
                "&&",
            ),
            ("during", "&&"),
            name="ex_tenant_claim_one_tenant",
            using="gist",
        ),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    source: str = ""
    label: str
    during: Span = Field(sa_type=SpanColumn)
    derived_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class GapTermRow(SQLModel, table=True):
    """From `since` on, how gaps in the tenant's usage are taken; of two terms the one that was set later counts.

    Terms are dated so that time which was invoiced keeps the rule that it was invoiced by.
    """

    __tablename__: ClassVar[Any] = "tenant_gap_term"
    __table_args__ = (
        CheckConstraint("policy in ('exclude', 'bridge', 'lease')", name="policy"),
        CheckConstraint("(policy = 'bridge') = (limit_seconds > 0)", name="limit"),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    policy: str
    limit_seconds: int = 0
    since: datetime = Field(sa_type=UtcTime)
    set_at: datetime = Field(sa_type=UtcTime)
    derived_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class BillingCycleRow(SQLModel, table=True):
    """How often a payer is invoiced; without a row: by calendar months in UTC."""

    __tablename__: ClassVar[Any] = "billing_cycle"
    __table_args__ = (
        CheckConstraint("every in ('month', 'week', 'day')", name="every"),
        CheckConstraint("threshold > 0", name="threshold"),
    )

    tenant_id: int = Field(primary_key=True, foreign_key="tenant.id", sa_type=BigInteger)
    every: str
    anchor: int
    timezone: str
    threshold: int | None = Field(default=None, sa_type=Units, nullable=True)


class TaxTermRow(SQLModel, table=True):
    """From `since` on, how the tenant is taxed; of two terms the one that was set later counts. Append only."""

    __tablename__: ClassVar[Any] = "tenant_tax_term"
    __table_args__ = (
        CheckConstraint("kind in ('standard', 'exempt', 'reverse_charge')", name="kind"),
        CheckConstraint("(kind = 'standard') = (name <> '')", name="name"),
        CheckConstraint("(kind = 'standard') = (note = '')", name="note"),
        CheckConstraint("rate between 0 and 1 and (kind = 'standard' or rate = 0)", name="rate"),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    kind: str
    name: str
    rate: Decimal = Field(sa_type=Price)
    note: str
    since: datetime = Field(sa_type=UtcTime)
    set_at: datetime = Field(sa_type=UtcTime)


class ApiKeyRow(SQLModel, table=True):
    """Only the SHA-256 of a key is kept: keys are 32 random bytes, so a slow hash would add nothing."""

    __tablename__: ClassVar[Any] = "api_key"
    __table_args__ = (
        CheckConstraint("role in ('operator', 'finance', 'tenant', 'auditor', 'gateway', 'owner')", name="role"),
        CheckConstraint("(role = 'tenant') = (tenant_id is not null)", name="tenant"),
        CheckConstraint("(role = 'owner') = (owner_id is not null)", name="owner"),
    )

    id: int | None = key()
    name: str
    prefix: str = Field(unique=True)
    digest: str = Field(unique=True)
    role: str
    tenant_id: int | None = ref_or_none("tenant.id")
    owner_id: int | None = ref_or_none("owner.id")
    created_at: datetime = Field(sa_type=UtcTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

"""Who may open the pages: links that sign somebody in, the sessions that they opened, and what contacts asked for by e-mail."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime, key, ref, ref_or_none

_ROLE = "role in ('operator', 'finance', 'tenant', 'auditor', 'owner')"
_TENANT = "(role = 'tenant') = (tenant_id is not null)"
_OWNER = "(role = 'owner') = (owner_id is not null)"


class ContactRow(SQLModel, table=True):
    """Somebody of a tenant who may ask for a link, beside the tenant's own e-mail address."""

    __tablename__: ClassVar[Any] = "contact"
    __table_args__ = (
        Index(
            "uq_contact_one",
            "tenant_id",
            text("lower(email)"),
            unique=True,
            postgresql_where=text("removed_at is null"),
        ),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    name: str
    email: str
    added_by: str
    added_at: datetime = Field(sa_type=UtcTime)
    removed_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class LoginAskRow(SQLModel, table=True):
    """A link that somebody known asked for. It is made when the mail goes out, so that no link is ever kept."""

    __tablename__: ClassVar[Any] = "login_ask"
    __table_args__ = (
        CheckConstraint("(tenant_id is null) <> (owner_id is null)", name="whose"),
        Index("ix_login_ask_email", text("lower(email)"), "asked_at"),
    )

    id: int | None = key()
    tenant_id: int | None = ref_or_none("tenant.id")
    owner_id: int | None = ref_or_none("owner.id")
    name: str
    email: str
    asked_at: datetime = Field(sa_type=UtcTime)


class LoginLinkRow(SQLModel, table=True):
    """A link that signs somebody in, once. Only its digest is kept."""

    __tablename__: ClassVar[Any] = "login_link"
    __table_args__ = (
        CheckConstraint(_ROLE, name="role"),
        CheckConstraint(_TENANT, name="tenant"),
        CheckConstraint(_OWNER, name="owner"),
    )

    id: int | None = key()
    prefix: str = Field(unique=True)
    digest: str = Field(unique=True)
    name: str
    role: str
    tenant_id: int | None = ref_or_none("tenant.id")
    owner_id: int | None = ref_or_none("owner.id")
    email: str
    issued_by: str
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class LoginSessionRow(SQLModel, table=True):
    """A browser that is signed in. Only the digest of its cookie is kept."""

    __tablename__: ClassVar[Any] = "login_session"
    __table_args__ = (
        CheckConstraint(_ROLE, name="role"),
        CheckConstraint(_TENANT, name="tenant"),
        CheckConstraint(_OWNER, name="owner"),
    )

    id: int | None = key()
    prefix: str = Field(unique=True)
    digest: str = Field(unique=True)
    link_id: int = ref("login_link.id")
    name: str
    role: str
    tenant_id: int | None = ref_or_none("tenant.id")
    owner_id: int | None = ref_or_none("owner.id")
    email: str
    created_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

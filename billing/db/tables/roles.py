"""Who may act: one holder a role, with a fencing epoch; and the answers already given to repeated requests."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime


class RoleRow(SQLModel, table=True):
    """`epoch` grows each time that somebody takes the role; a tick that finds another epoch stops."""

    __tablename__: ClassVar[Any] = "role"

    name: str = Field(primary_key=True)
    epoch: int = Field(default=0, sa_type=BigInteger)
    holder: str = ""
    taken_at: datetime = Field(sa_type=UtcTime)


class IdempotencyRow(SQLModel, table=True):
    """The answer to a write that carried an Idempotency-Key."""

    __tablename__: ClassVar[Any] = "idempotency_key"

    actor: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_digest: str
    status: int
    body: str
    created_at: datetime = Field(sa_type=UtcTime, index=True)

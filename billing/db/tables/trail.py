"""The audit trail: who did what, to what, why. Append only."""

from datetime import datetime
from typing import Any, ClassVar

from sqlmodel import Field, SQLModel

from billing.db.columns import Json, UtcTime, key


class TrailRow(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "trail"

    id: int | None = key()
    at: datetime = Field(sa_type=UtcTime, index=True)
    actor: str
    action: str
    subject: str = Field(index=True)
    reason: str = ""
    details: dict[str, Any] = Field(default_factory=dict, sa_type=Json)

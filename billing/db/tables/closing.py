"""Months whose books are closed, and the files that were made of them then."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime, key, ref


class BookCloseRow(SQLModel, table=True):
    """Nothing is booked on a day before `closed_before` any more; the database refuses it. `carried` are the questions that were
    open then. `usage_digest` is of the `charges` for its usage up to the row `charged_until`."""

    __tablename__: ClassVar[Any] = "book_close"
    __table_args__ = (
        CheckConstraint("closed_before > first_day", name="span"),
        CheckConstraint("num_nulls(charged_until, charges, usage_digest) in (0, 3)", name="usage"),
    )

    id: int | None = key()
    period: str = Field(unique=True)
    first_day: date
    closed_before: date = Field(index=True)
    closed_at: datetime = Field(sa_type=UtcTime)
    closed_by: str
    carried: Any = Field(sa_type=JSONB)
    charged_until: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    charges: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    usage_digest: str | None = Field(default=None, nullable=True)


class ClosedFileRow(SQLModel, table=True):
    """A file of a closed month, by its SHA-256. Later exports are these bytes."""

    __tablename__: ClassVar[Any] = "closed_file"

    id: int | None = key()
    close_id: int = ref("book_close.id", index=True)
    name: str
    sha256: str
    size: int = Field(sa_type=BigInteger)

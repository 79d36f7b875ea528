"""The ledger: entries and their postings. Append only; each entry balances per asset, which the database checks at commit."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from billing.db.columns import Units, UtcTime, key, ref, ref_or_none


class EntryRow(SQLModel, table=True):
    __tablename__: ClassVar[Any] = "entry"
    __table_args__ = (
        Index(
            "uq_entry_once_per_transfer",
            "transfer_id",
            "incarnation",
            "kind",
            unique=True,
            postgresql_where=text("transfer_id is not null"),
        ),
        Index(
            "uq_entry_once_per_invoice",
            "invoice_id",
            "kind",
            unique=True,
            postgresql_where=text("transfer_id is null and kind in ('issue', 'credit')"),
        ),
        Index(
            "uq_entry_reversed_once",
            "reverses_id",
            unique=True,
            postgresql_where=text("reverses_id is not null"),
        ),
    )

    id: int | None = key()
    kind: str
    booked_on: date
    happened_at: datetime = Field(sa_type=UtcTime)
    invoice_id: int | None = ref_or_none("invoice.id", index=True)
    transfer_id: int | None = ref_or_none("transfer.id")
    incarnation: int | None = None
    reverses_id: int | None = ref_or_none("entry.id")
    memo: str = ""
    created_at: datetime = Field(sa_type=UtcTime)


class PostingRow(SQLModel, table=True):
    """Debits are positive, credits negative."""

    __tablename__: ClassVar[Any] = "posting"
    __table_args__ = (CheckConstraint("units <> 0", name="not_zero"),)

    id: int | None = key()
    entry_id: int = ref("entry.id", index=True)
    account: str = Field(index=True)
    asset: str
    units: int = Field(sa_type=Units)
    tenant_id: int | None = ref_or_none("tenant.id")
    invoice_id: int | None = ref_or_none("invoice.id", index=True)

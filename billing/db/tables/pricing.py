"""Price books, the prices in force, and charges: rated usage, frozen."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import Price, SpanColumn, Texts, Units, UtcTime, key, ref, ref_or_none


class PriceBookRow(SQLModel, table=True):
    """A price book as it was applied, byte for byte."""

    __tablename__: ClassVar[Any] = "price_book"

    id: int | None = key()
    digest: str
    content: str
    applied_at: datetime = Field(sa_type=UtcTime)
    applied_by: str


class SkuRow(SQLModel, table=True):
    """What is sold. A device belongs to the SKU that lists its model and has its MIG profile."""

    __tablename__: ClassVar[Any] = "sku"

    code: str = Field(primary_key=True)
    title: str
    models: list[str] = Field(sa_type=Texts)
    profile: str = ""


class PriceRow(SQLModel, table=True):
    """A flat price per device-hour, in force during a span. One SKU has one price at a moment."""

    __tablename__: ClassVar[Any] = "price"
    __table_args__ = (
        ExcludeConstraint(
            (text("int8range(hashtextextended(sku, 0), hashtextextended(sku, 0), '[]')"), "&&"),
            ("during", "&&"),
            name="ex_price_one_price",
            using="gist",
            where=text("superseded_at is null"),
        ),
        CheckConstraint("per_hour >= 0", name="not_negative"),
    )

    id: int | None = key()
    book_id: int = ref("price_book.id")
    sku: str = Field(foreign_key="sku.code")
    currency: str
    exponent: int
    per_hour: Decimal = Field(sa_type=Price)
    during: Span = Field(sa_type=SpanColumn)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class ChargeRow(SQLModel, table=True):
    """Rated usage of one device at one price, as it was invoiced. Append only: a void writes the opposite amount.

    `device_id` is empty only for charges that were rebuilt from an archived document.
    """

    __tablename__: ClassVar[Any] = "charge"
    __table_args__ = (CheckConstraint("kind in ('usage', 'cancel')", name="kind"),)

    id: int | None = key()
    invoice_id: int = ref("invoice.id", index=True)
    position: int
    tenant_id: int = ref("tenant.id", index=True)
    device_id: int | None = ref_or_none("device.id")
    sku: str
    unit_price: Decimal = Field(sa_type=Price)
    currency: str
    during: Span = Field(sa_type=SpanColumn)
    seconds: int = Field(sa_type=BigInteger)
    amount: int = Field(sa_type=Units)
    kind: str
    usage_digest: str

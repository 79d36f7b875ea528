"""Price books, the prices in force, and charges: rated usage, frozen."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import JsonOrNone, Price, Quantity, SpanColumn, Texts, Units, UtcTime, key, ref, ref_or_none


class PriceBookRow(SQLModel, table=True):
    """A price book as it was applied, byte for byte."""

    __tablename__: ClassVar[Any] = "price_book"

    id: int | None = key()
    digest: str
    content: str
    applied_at: datetime = Field(sa_type=UtcTime)
    applied_by: str


class SkuRow(SQLModel, table=True):
    """What is sold: devices, or what a meter counts. A device belongs to the SKU that lists its model and has its MIG
    profile."""

    __tablename__: ClassVar[Any] = "sku"

    code: str = Field(primary_key=True)
    title: str
    models: list[str] = Field(sa_type=Texts)
    profile: str = ""
    meter: str = ""


class PriceRow(SQLModel, table=True):
    """A price in force during a span, of the list or of one tenant: flat per device-hour or per `unit_size` units of a meter;
    by tiers (`[[up_to, price], ...]`, `unit_size` of a package or a meter); or spot rates. One SKU has one price at a moment."""

    __tablename__: ClassVar[Any] = "price"
    __table_args__ = (
        ExcludeConstraint(
            (
                text(
                    "int8range(hashtextextended(sku || chr(10) || coalesce(tenant_id, 0)::text, 0),"
                    " hashtextextended(sku || chr(10) || coalesce(tenant_id, 0)::text, 0), '[]')"
                ),
                "&&",
            ),
            ("during", "&&"),
            name="ex_price_one_price",
            using="gist",
            where=text("superseded_at is null"),
        ),
        CheckConstraint("per_hour >= 0", name="not_negative"),
        CheckConstraint("per_unit >= 0 and unit_size > 0", name="per_unit"),
        CheckConstraint(
            "case model when 'flat' then (per_hour is null) <> (per_unit is null) and (per_unit is null) = (unit_size is null)"
            " and tiers is null when 'spot' then num_nonnulls(per_hour, per_unit, unit_size, tiers) = 0"
            " else model in ('graduated', 'volume', 'package') and num_nonnulls(per_hour, per_unit) = 0 and tiers is not null"
            " end",
            name="kind",
        ),
    )

    id: int | None = key()
    book_id: int = ref("price_book.id")
    sku: str = Field(foreign_key="sku.code")
    tenant_id: int | None = ref_or_none("tenant.id")
    currency: str
    exponent: int
    model: str = Field(default="flat", sa_column_kwargs={"server_default": text("'flat'")})
    per_hour: Decimal | None = Field(default=None, sa_type=Price, nullable=True)
    per_unit: Decimal | None = Field(default=None, sa_type=Price, nullable=True)
    unit_size: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    tiers: list[Any] | None = Field(default=None, sa_type=JsonOrNone, nullable=True)
    during: Span = Field(sa_type=SpanColumn)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class SpotRateRow(SQLModel, table=True):
    """What a device-hour of a SKU costs on the spot market in some hours. What was offered is never changed."""

    __tablename__: ClassVar[Any] = "spot_rate"
    __table_args__ = (
        ExcludeConstraint(
            (text("int8range(hashtextextended(sku, 0), hashtextextended(sku, 0), '[]')"), "&&"),
            ("during", "&&"),
            name="ex_spot_rate_one_rate",
            using="gist",
        ),
        CheckConstraint("per_hour >= 0", name="not_negative"),
    )

    id: int | None = key()
    sku: str = Field(foreign_key="sku.code")
    per_hour: Decimal = Field(sa_type=Price)
    during: Span = Field(sa_type=SpanColumn)
    set_at: datetime = Field(sa_type=UtcTime)
    set_by: str


class AgreementRow(SQLModel, table=True):
    """A fee, minimum or discount in force during a span. `tenant_id` is the payer; none is everybody (discounts only)."""

    __tablename__: ClassVar[Any] = "agreement"
    __table_args__ = (
        ExcludeConstraint(
            (text("int8range(hashtextextended(code, 0), hashtextextended(code, 0), '[]')"), "&&"),
            ("during", "&&"),
            name="ex_agreement_one_meaning",
            using="gist",
            where=text("superseded_at is null"),
        ),
        CheckConstraint("kind in ('fee', 'minimum', 'discount')", name="kind"),
        CheckConstraint("(amount is null) <> (percent is null) and amount >= 0 and percent > 0", name="amount"),
        CheckConstraint("kind = 'discount' or tenant_id is not null and amount is not null", name="payer"),
    )

    id: int | None = key()
    book_id: int = ref("price_book.id")
    kind: str
    code: str
    title: str
    tenant_id: int | None = ref_or_none("tenant.id")
    skus: list[str] = Field(sa_type=Texts)
    amount: int | None = Field(default=None, sa_type=Units, nullable=True)
    percent: Decimal | None = Field(default=None, sa_type=Price, nullable=True)
    prorate: bool = True
    during: Span = Field(sa_type=SpanColumn)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class ChargeRow(SQLModel, table=True):
    """Rated usage at one price, as it was invoiced: the seconds of a device, or the `quantity` of a meter; or a part of a fee,
    minimum or discount. Append only: a void writes the opposite amount.

    `device_id` is empty for a meter, and for charges that were rebuilt from an archived document.
    """

    __tablename__: ClassVar[Any] = "charge"
    __table_args__ = (
        CheckConstraint("kind in ('usage', 'cancel')", name="kind"),
        CheckConstraint("line_kind in ('usage', 'fee', 'minimum', 'discount')", name="line_kind"),
        Index("ix_charge_start", text("lower(during)")),
        CheckConstraint("(meter is null) = (quantity is null)", name="metered"),
        CheckConstraint("meter is null or (seconds = 0 and device_id is null)", name="no_time"),
    )

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
    meter: str | None = Field(default=None, nullable=True)
    quantity: Decimal | None = Field(default=None, sa_type=Quantity, nullable=True)
    line_kind: str = Field(default="usage", sa_column_kwargs={"server_default": text("'usage'")})
    package: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    amount: int = Field(sa_type=Units)
    kind: str
    usage_digest: str

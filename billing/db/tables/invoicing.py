"""Invoices, their lines, credit notes, number series, and the credit that tenants hold."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import Json, Price, Quantity, SpanColumn, Units, UtcTime, key, ref, ref_or_none


class NumberSeriesRow(SQLModel, table=True):
    """The next number of a series. Its row lock makes numbers gapless and one issuer wait for the other."""

    __tablename__: ClassVar[Any] = "number_series"

    name: str = Field(primary_key=True)
    next: int = Field(default=1, sa_type=BigInteger)


class InvoiceRow(SQLModel, table=True):
    """An issued invoice. Everything but its status is frozen; `document` holds the exact bytes that were archived. A
    `progressive` one was issued within a period, for what was used so far."""

    __tablename__: ClassVar[Any] = "invoice"
    __table_args__ = (
        ExcludeConstraint(
            (text("int8range(tenant_id, tenant_id, '[]')"), "&&"),
            ("period", "&&"),
            name="ex_invoice_one_per_period",
            using="gist",
            where=text("status <> 'void' and not progressive"),
        ),
        CheckConstraint("status in ('open', 'paid', 'void', 'uncollectible')", name="status"),
        CheckConstraint("amount_due = total - credits and amount_due >= 0", name="amount_due"),
    )

    id: int | None = key()
    number: str = Field(unique=True)
    series: str
    tenant_id: int = ref("tenant.id", index=True)
    period: Span = Field(sa_type=SpanColumn)
    progressive: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    currency: str
    exponent: int
    total: int = Field(sa_type=Units)
    credits: int = Field(sa_type=Units)
    amount_due: int = Field(sa_type=Units)
    status: str = Field(index=True)
    issued_at: datetime = Field(sa_type=UtcTime)
    due_at: datetime = Field(sa_type=UtcTime)
    document: bytes = Field(sa_type=LargeBinary)
    digest: str = Field(unique=True)
    pay_token: str = Field(unique=True)
    replaces_id: int | None = ref_or_none("invoice.id")
    status_at: datetime = Field(sa_type=UtcTime)
    tax: int = Field(default=0, sa_type=Units, sa_column_kwargs={"server_default": text("0")})
    purchase_order: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class InvoiceLineRow(SQLModel, table=True):
    """A line as it stands in the document: of time, of a meter, or of a fee, minimum or discount. `tenant_id` is who used it:
    the payer, or a reseller's customer."""

    __tablename__: ClassVar[Any] = "invoice_line"
    __table_args__ = (
        UniqueConstraint("invoice_id", "position"),
        CheckConstraint("num_nulls(meter, aggregation, unit, unit_size, quantity, events) in (0, 6)", name="metered"),
        CheckConstraint("meter is null or (quantity_seconds = 0 and measured_seconds = 0)", name="no_time"),
        CheckConstraint("kind in ('usage', 'fee', 'minimum', 'discount')", name="kind"),
    )

    id: int | None = key()
    invoice_id: int = ref("invoice.id")
    position: int
    tenant_id: int = ref("tenant.id")
    sku: str
    description: str
    during: Span = Field(sa_type=SpanColumn)
    quantity_seconds: int = Field(sa_type=BigInteger)
    meter: str | None = Field(default=None, nullable=True)
    aggregation: str | None = Field(default=None, nullable=True)
    unit: str | None = Field(default=None, nullable=True)
    unit_size: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    quantity: Decimal | None = Field(default=None, sa_type=Quantity, nullable=True)
    events: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    unit_price: Decimal = Field(sa_type=Price)
    amount: int = Field(sa_type=Units)
    measured_seconds: int = Field(sa_type=BigInteger)
    bridged_seconds: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    excluded: list[Any] = Field(default_factory=list, sa_type=Json)
    usage_digest: str
    kind: str = Field(default="usage", sa_column_kwargs={"server_default": text("'usage'")})
    package: int | None = Field(default=None, sa_type=BigInteger, nullable=True)


class CreditNoteRow(SQLModel, table=True):
    """What takes a numbered invoice back (`void`), or a part of it. A document of its own, without an address."""

    __tablename__: ClassVar[Any] = "credit_note"
    __table_args__ = (CheckConstraint("kind in ('void', 'partial')", name="kind"),)

    id: int | None = key()
    number: str = Field(unique=True)
    invoice_id: int = ref("invoice.id", index=True)
    total: int = Field(sa_type=Units)
    reason: str
    document: bytes = Field(sa_type=LargeBinary)
    digest: str = Field(unique=True)
    issued_at: datetime = Field(sa_type=UtcTime)
    kind: str = Field(default="void", sa_column_kwargs={"server_default": text("'void'")})
    tax: int = Field(default=0, sa_type=Units, sa_column_kwargs={"server_default": text("0")})


class CreditNoteLineRow(SQLModel, table=True):
    """What a credit note takes off a line of its invoice, before tax. It is no charge: the usage stays charged. Append only."""

    __tablename__: ClassVar[Any] = "credit_note_line"
    __table_args__ = (
        UniqueConstraint("credit_note_id", "position"),
        CheckConstraint("amount > 0", name="positive"),
    )

    id: int | None = key()
    credit_note_id: int = ref("credit_note.id")
    invoice_id: int = ref("invoice.id", index=True)
    position: int
    amount: int = Field(sa_type=Units)


class TenantCreditRow(SQLModel, table=True):
    """Money that a tenant holds with the operator. It can be used once `final_at` is set and it was not reversed."""

    __tablename__: ClassVar[Any] = "tenant_credit"
    __table_args__ = (
        CheckConstraint("kind in ('promotional', 'prepaid', 'overpayment')", name="kind"),
        CheckConstraint("units > 0", name="positive"),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id", index=True)
    kind: str
    currency: str
    units: int = Field(sa_type=Units)
    reference: str
    transfer_id: int | None = ref_or_none("transfer.id", index=True)
    created_at: datetime = Field(sa_type=UtcTime)
    final_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    reversed_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class CreditUseRow(SQLModel, table=True):
    """Credit that an invoice used, or that is owed back; a void gives it back with a negative row. Append only."""

    __tablename__: ClassVar[Any] = "credit_use"
    __table_args__ = (CheckConstraint("num_nonnulls(invoice_id, refund_id) = 1", name="one_use"),)

    id: int | None = key()
    credit_id: int = ref("tenant_credit.id", index=True)
    invoice_id: int | None = ref_or_none("invoice.id", index=True)
    refund_id: int | None = ref_or_none("refund.id")
    units: int = Field(sa_type=Units)
    created_at: datetime = Field(sa_type=UtcTime)


class WriteOffRow(SQLModel, table=True):
    """Somebody decided that an invoice will not be paid. `units` is what of it is given up now: payments take it back. A void
    ends it."""

    __tablename__: ClassVar[Any] = "write_off"
    __table_args__ = (
        Index("uq_write_off_one_standing", "invoice_id", unique=True, postgresql_where=text("ended_at is null")),
        CheckConstraint("units >= 0", name="units"),
    )

    id: int | None = key()
    invoice_id: int = ref("invoice.id")
    units: int = Field(default=0, sa_type=Units)
    decided_by: str
    reason: str
    created_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

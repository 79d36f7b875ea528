"""What sources saw (readings, observations) and what is billable (usage). Current rows have no `superseded_at`."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlmodel import Field, SQLModel

from billing.core.period import Span
from billing.db.columns import Json, SeatColumn, SpanColumn, Texts, UtcTime, key, ref, ref_or_none

CURRENT = text("superseded_at is null")


class SourceRow(SQLModel, table=True):
    """A configured source. Windows from `since` on are due. How its word about missing devices is taken is kept with it, for
    what it said stays when it is configured no more."""

    __tablename__: ClassVar[Any] = "source"

    id: int | None = key()
    name: str = Field(unique=True)
    type: str
    since: datetime = Field(sa_type=UtcTime)
    operator_evidence: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    exclusion_minimum_seconds: int = Field(
        default=900, sa_type=BigInteger, sa_column_kwargs={"server_default": text("900")}
    )
    exclusion_cap_seconds: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    failed_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    failure: str = ""


class ReadingRow(SQLModel, table=True):
    """One window of one source, read once. A re-read with another digest supersedes it. `unlabelled` are the exporters whose
    labels were lost when it ended, with the second since when."""

    __tablename__: ClassVar[Any] = "reading"
    __table_args__ = (
        Index(
            "uq_reading_one_current",
            "source_id",
            text("lower(during)"),
            unique=True,
            postgresql_where=CURRENT,
        ),
        CheckConstraint("status in ('complete', 'partial', 'empty')", name="status"),
    )

    id: int | None = key()
    source_id: int = ref("source.id")
    during: Span = Field(sa_type=SpanColumn)
    digest: str
    status: str
    reason: str = ""
    samples: int = Field(sa_type=BigInteger)
    present_seconds: int = Field(sa_type=BigInteger)
    missing_seconds: int = Field(sa_type=BigInteger)
    blind_seconds: int = Field(sa_type=BigInteger)
    unlabelled: dict[str, int] = Field(default_factory=dict, sa_type=Json)
    rereads: int = 0
    read_at: datetime = Field(sa_type=UtcTime)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class ScrapeRunRow(SQLModel, table=True):
    """Consecutive scrapes of one series by the direct scraper: from the first sample to the last, none further apart than max_gap.

    `uuid` is empty for the row that says that the exporter itself answered.
    """

    __tablename__: ClassVar[Any] = "scrape_run"
    __table_args__ = (
        Index("ix_scrape_run_window", "source_id", "first_ms"),
        UniqueConstraint("source_id", "instance", "uuid", "gpu_i_id", "profile", "labels", "first_ms"),
    )

    id: int | None = key()
    source_id: int = ref("source.id")
    instance: str
    uuid: str
    gpu_i_id: str = ""
    profile: str = ""
    model: str = ""
    host: str = ""
    labels: str = ""
    first_ms: int = Field(sa_type=BigInteger)
    last_ms: int = Field(sa_type=BigInteger)
    samples: int = Field(sa_type=BigInteger)


class ObservationRow(SQLModel, table=True):
    """What a source saw of a device: present (under no, one or several labels), missing (gone), or blind (could not see)."""

    __tablename__: ClassVar[Any] = "observation"
    __table_args__ = (
        Index("ix_observation_device", "device_id", text("lower(during)"), postgresql_where=CURRENT),
        Index("ix_observation_during", "during", postgresql_using="gist", postgresql_where=CURRENT),
        CheckConstraint("state in ('present', 'missing', 'blind')", name="state"),
    )

    id: int | None = key()
    source_id: int = ref("source.id")
    device_id: int = ref("device.id")
    during: Span = Field(sa_type=SpanColumn)
    state: str
    labels: list[str] = Field(default_factory=list, sa_type=Texts)
    reason: str = ""
    recorded_at: datetime = Field(sa_type=UtcTime)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class UsageRow(SQLModel, table=True):
    """A billable span of a seat. The database refuses a second payer for the same part of a GPU at the same moment."""

    __tablename__: ClassVar[Any] = "usage"
    __table_args__ = (
        ExcludeConstraint(  # `seat` first: the other order was four times slower
            ("seat", "&&"), ("during", "&&"), name="ex_usage_one_payer", using="gist", where=CURRENT
        ),
        Index("ix_usage_device", "device_id", text("lower(during)"), postgresql_where=CURRENT),
        Index("ix_usage_tenant", "tenant_id", text("lower(during)"), postgresql_where=CURRENT),
        CheckConstraint("(basis = 'lease') = (lease_id is not null)", name="basis"),
    )

    id: int | None = key()
    tenant_id: int = ref("tenant.id")
    device_id: int = ref("device.id")
    seat: tuple[int, int] = Field(sa_type=SeatColumn)
    during: Span = Field(sa_type=SpanColumn)
    basis: str
    lease_id: int | None = ref_or_none("lease.id")
    source_id: int | None = ref_or_none("source.id")
    bridged: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """Billed, though nobody saw it: blind time that the tenant's gap policy bridges."""
    recorded_at: datetime = Field(sa_type=UtcTime)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class DisputeRow(SQLModel, table=True):
    """A span in which labels of several tenants, or of a tenant and of nobody known, were on one device: billed to nobody.

    `asked` says that the exception about it is as the row is now.
    """

    __tablename__: ClassVar[Any] = "dispute"
    __table_args__ = (
        Index("ix_dispute_device", "device_id", text("lower(during)"), postgresql_where=CURRENT),
        Index("ix_dispute_unasked", "id", postgresql_where=text("not asked")),
    )

    id: int | None = key()
    device_id: int = ref("device.id")
    during: Span = Field(sa_type=SpanColumn)
    labels: list[str] = Field(default_factory=list, sa_type=Texts)
    asked: bool = False
    recorded_at: datetime = Field(sa_type=UtcTime)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class MaintenanceRow(SQLModel, table=True):
    """One GPU of a maintenance window. `reference` groups the GPUs that were announced together."""

    __tablename__: ClassVar[Any] = "maintenance"
    __table_args__ = (Index("ix_maintenance_during", "during", postgresql_using="gist"),)

    id: int | None = key()
    reference: str = Field(index=True)
    gpu_id: int = ref("gpu.id", index=True)
    during: Span = Field(sa_type=SpanColumn)
    reason: str
    created_at: datetime = Field(sa_type=UtcTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class UsageMonthRow(SQLModel, table=True):
    """When usage of a month changed last. Invoicing looks for adjustments in invoiced months that changed since.
    `asked_at` is when it was looked at last for time without a price."""

    __tablename__: ClassVar[Any] = "usage_month"

    start: datetime = Field(sa_type=UtcTime, primary_key=True)
    changed_at: datetime = Field(sa_type=UtcTime)
    asked_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class DueSpanRow(SQLModel, table=True):
    """Time whose usage must be derived again, because a person decided something about it."""

    __tablename__: ClassVar[Any] = "due_span"

    id: int | None = key()
    during: Span = Field(sa_type=SpanColumn)
    derived_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True, index=True)


class ExclusionRow(SQLModel, table=True):
    """Leased time that is not billed, and why. Only accepted ones count; a proposed one waits for a person."""

    __tablename__: ClassVar[Any] = "exclusion"
    __table_args__ = (
        Index("ix_exclusion_during", "during", postgresql_using="gist", postgresql_where=CURRENT),
        CheckConstraint("state in ('proposed', 'accepted', 'rejected')", name="state"),
    )

    id: int | None = key()
    gpu_id: int = ref("gpu.id", index=True)
    during: Span = Field(sa_type=SpanColumn)
    reason: str
    evidence: str
    state: str
    recorded_at: datetime = Field(sa_type=UtcTime)
    superseded_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class ConservedDayRow(SQLModel, table=True):
    """A day (UTC) of which something was derived: how often it changed, and which change its accounts reflect."""

    __tablename__: ClassVar[Any] = "conserved_day"

    day: datetime = Field(sa_type=UtcTime, primary_key=True)
    changes: int = Field(sa_type=BigInteger)
    stored: int | None = Field(default=None, sa_type=BigInteger, nullable=True)


class GpuDayRow(SQLModel, table=True):
    """Where one GPU's in-service time of a day went, in slot-seconds (840 are one GPU-second). Written anew when the day
    changes; `host` and `source` are where it was seen last by then."""

    __tablename__: ClassVar[Any] = "gpu_day"

    day: datetime = Field(sa_type=UtcTime, primary_key=True)
    gpu_id: int = Field(sa_type=BigInteger, foreign_key="gpu.id", primary_key=True, index=True)
    host: str
    source: str
    whole: int = Field(sa_type=BigInteger)
    billed: int = Field(sa_type=BigInteger)
    excluded: int = Field(sa_type=BigInteger)
    disputed: int = Field(sa_type=BigInteger)
    idle: int = Field(sa_type=BigInteger)
    unattributed: int = Field(sa_type=BigInteger)
    missing: int = Field(sa_type=BigInteger)
    blind: int = Field(sa_type=BigInteger)
    unread: int = Field(sa_type=BigInteger)

"""Wallet generations, the chains that each is accepted on, and every address that was ever given out."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from billing.db.columns import UtcTime, key, ref, ref_or_none


class GenerationRow(SQLModel, table=True):
    """One way to make addresses. Settings that change add a generation; old ones stay watched and flushable."""

    __tablename__: ClassVar[Any] = "wallet_generation"
    __table_args__ = (CheckConstraint("mode in ('forwarder', 'xpub')", name="mode"),)

    id: int | None = key()
    pin: str = Field(unique=True)
    mode: str
    factory: str = ""
    implementation: str = ""
    init_code_hash: str = ""
    treasury: str = ""
    treasury_kind: str = ""
    flusher: str = ""
    next_index: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=UtcTime)


class AcceptedChainRow(SQLModel, table=True):
    """The generation's code was verified on this chain."""

    __tablename__: ClassVar[Any] = "accepted_chain"

    generation_id: int = Field(foreign_key="wallet_generation.id", primary_key=True, sa_type=BigInteger)
    chain_id: int = Field(primary_key=True, sa_type=BigInteger)
    verified_at: datetime = Field(sa_type=UtcTime)


class PaymentAddressRow(SQLModel, table=True):
    """An address that somebody may pay to, for ever watched on every chain."""

    __tablename__: ClassVar[Any] = "payment_address"
    __table_args__ = (
        UniqueConstraint("generation_id", "hd_index"),
        CheckConstraint("kind in ('invoice', 'deposit', 'treasury', 'unissued')", name="kind"),
    )

    id: int | None = key()
    address: str = Field(unique=True)
    kind: str
    generation_id: int = ref("wallet_generation.id")
    invoice_id: int | None = ref_or_none("invoice.id", index=True)
    deposit_id: int | None = ref_or_none("deposit_document.id", index=True)
    salt: str = ""
    hd_index: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    created_at: datetime = Field(sa_type=UtcTime)

"""What was seen on chains: how far, which blocks, which transfers."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing.db.columns import Units, UtcTime, key, ref


class ChainStateRow(SQLModel, table=True):
    """The cursor: everything up to and including this block was read. `stopped` says why a chain needs a person."""

    __tablename__: ClassVar[Any] = "chain_state"

    chain_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str
    start_number: int = Field(sa_type=BigInteger)
    cursor_number: int = Field(sa_type=BigInteger)
    cursor_hash: str
    cursor_mined_at: datetime = Field(sa_type=UtcTime)
    confirmed_number: int = Field(sa_type=BigInteger)
    """Transfers of any amount count up to here."""
    final_number: int = Field(sa_type=BigInteger)
    confirmed_moved_at: datetime = Field(sa_type=UtcTime)
    final_moved_at: datetime = Field(sa_type=UtcTime)
    """When these heights rose last: a tag of the chain's that stands still is an alarm."""

    stopped: str = ""
    rewind_to: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)
    """Blocks mined from this time on are to be read again: addresses were restored that nobody watched, or a person wants it."""
    rewind_takes_back: bool = False
    """A person wants it, and knows that what was final may be taken back."""

    updated_at: datetime = Field(sa_type=UtcTime)


class TokenRow(SQLModel, table=True):
    """A token that was listened to: kept for ever, so that what it paid can be booked after it was taken off the list."""

    __tablename__: ClassVar[Any] = "token"
    __table_args__ = (UniqueConstraint("chain_id", "symbol"),)

    chain_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    address: str = Field(primary_key=True)
    symbol: str
    decimals: int
    currency: str


class BlockRow(SQLModel, table=True):
    """A block of our chain that is young enough to be reorganised."""

    __tablename__: ClassVar[Any] = "block"

    chain_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    number: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    hash: str
    parent_hash: str
    mined_at: datetime = Field(sa_type=UtcTime)


class TransferRow(SQLModel, table=True):
    """One Transfer log that touches a watched address. The same log seen again after a reorg is a new incarnation."""

    __tablename__: ClassVar[Any] = "transfer"
    __table_args__ = (
        UniqueConstraint("chain_id", "block_hash", "log_index"),
        Index(
            "uq_transfer_one_canonical",
            "chain_id",
            "tx_hash",
            "log_index",
            unique=True,
            postgresql_where=text("state <> 'orphaned'"),
        ),
        Index("ix_transfer_block", "chain_id", "block_number"),
        Index(
            "ix_transfer_unfinal",
            "chain_id",
            "block_number",
            postgresql_where=text("state = 'seen' or state = 'confirmed'"),
        ),
        CheckConstraint("state in ('seen', 'confirmed', 'final', 'orphaned')", name="state"),
    )

    id: int | None = key()
    chain_id: int = Field(sa_type=BigInteger)
    block_hash: str
    log_index: int = Field(sa_type=BigInteger)
    block_number: int = Field(sa_type=BigInteger)
    mined_at: datetime = Field(sa_type=UtcTime)
    tx_hash: str = Field(index=True)
    token_address: str
    from_address: str = Field(index=True)
    to_address: str = Field(index=True)
    units: int = Field(sa_type=Units)
    state: str
    incarnation: int = 1
    seen_at: datetime = Field(sa_type=UtcTime)
    state_at: datetime = Field(sa_type=UtcTime)
    settled: bool = False
    """Reconciliation has dealt with this state of this incarnation."""


class ProofRow(SQLModel, table=True):
    """How far a chain was read a second time, by the audit lane."""

    __tablename__: ClassVar[Any] = "chain_proof"

    chain_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    number: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(sa_type=UtcTime)


class DoubtRow(SQLModel, table=True):
    """A transfer that the second reading did not find as it is stored. It stays until a reading finds it again."""

    __tablename__: ClassVar[Any] = "chain_doubt"
    __table_args__ = (
        Index("uq_chain_doubt_one_open", "transfer_id", unique=True, postgresql_where=text("cleared_at is null")),
    )

    id: int | None = key()
    transfer_id: int = ref("transfer.id")
    why: str
    found_at: datetime = Field(sa_type=UtcTime)
    cleared_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)


class BalanceRow(SQLModel, table=True):
    """What an address held of a token (the zero address: of the native coin) in a block. A place has at most two: the newest
    that was counted, and one whose block is not final yet."""

    __tablename__: ClassVar[Any] = "balance_reading"
    __table_args__ = (
        Index(
            "uq_balance_reading_waiting", "chain_id", "address", "token_address", unique=True,
            postgresql_where=text("counted_at is null"),
        ),
        Index(
            "uq_balance_reading_counted", "chain_id", "address", "token_address", unique=True,
            postgresql_where=text("counted_at is not null"),
        ),
    )  # fmt: skip

    id: int | None = key()
    chain_id: int = Field(sa_type=BigInteger)
    address: str
    token_address: str
    block_number: int = Field(sa_type=BigInteger)
    block_hash: str
    units: int | None = Field(default=None, sa_type=Units, nullable=True)
    why: str = ""
    """Why there is no number: the token does not tell, or endpoints contradict each other."""

    read_at: datetime = Field(sa_type=UtcTime)
    counted_at: datetime | None = Field(default=None, sa_type=UtcTime, nullable=True)

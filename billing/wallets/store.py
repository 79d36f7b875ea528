"""Rows of wallet generations and payment addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing.core.onchain import Address, Hash32
from billing.db import bulk
from billing.db.tables.wallets import AcceptedChainRow, GenerationRow, PaymentAddressRow
from billing.wallets.wallet import ForwarderWallet, Mode, TreasuryKind, Wallet, XpubWallet


@dataclass(frozen=True, slots=True)
class Generation:
    """A wallet with its row: one way in which addresses were made, ever."""

    id: int
    wallet: Wallet
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentAddress:
    """An address that was given out (or that stands for a treasury), and what it is for."""

    address: Address
    kind: str
    generation_id: int
    invoice_id: int | None
    salt: str
    hd_index: int | None
    deposit_id: int | None = None


def generation(session: Session, wallet: Wallet, now: datetime) -> Generation:
    """The generation of a wallet; made, with its treasury watched, when it is new."""
    row = session.exec(select(GenerationRow).where(GenerationRow.pin == wallet.pin())).first()
    if row is None:
        row = GenerationRow(pin=wallet.pin(), mode=wallet.mode, created_at=now)
        if isinstance(wallet, ForwarderWallet):
            row.factory, row.implementation = wallet.factory, wallet.implementation
            row.init_code_hash = wallet.pinned()["init_code_hash"]
            row.treasury, row.treasury_kind, row.flusher = wallet.treasury, wallet.treasury_kind, wallet.flusher
        else:
            row.factory = wallet.account
        session.add(row)
        session.flush()
        assert row.id is not None
        if isinstance(wallet, ForwarderWallet) and known(session, wallet.treasury) is None:
            session.add(
                PaymentAddressRow(address=wallet.treasury, kind="treasury", generation_id=row.id, created_at=now)
            )
            session.flush()
    return _generation(row)


def generations(session: Session) -> list[Generation]:
    """All of them, oldest first."""
    return [_generation(row) for row in session.exec(select(GenerationRow).order_by(col(GenerationRow.id)))]


def _generation(row: GenerationRow) -> Generation:
    assert row.id is not None
    wallet: Wallet
    if row.mode == Mode.FORWARDER:
        wallet = ForwarderWallet(
            Address(row.factory),
            Address(row.implementation),
            Address(row.treasury),
            TreasuryKind(row.treasury_kind),
            Address(row.flusher),
        )
    else:
        wallet = XpubWallet(Hash32(row.factory))
    return Generation(row.id, wallet, row.created_at)


def accept_chain(session: Session, generation_id: int, chain_id: int, now: datetime) -> None:
    """The generation's code was verified on a chain: its addresses may be offered there."""
    if session.get(AcceptedChainRow, (generation_id, chain_id)) is None:
        session.add(AcceptedChainRow(generation_id=generation_id, chain_id=chain_id, verified_at=now))


def accepted_chains(session: Session, generation_id: int) -> set[int]:
    return set(session.exec(select(AcceptedChainRow.chain_id).where(AcceptedChainRow.generation_id == generation_id)))


def next_index(session: Session, generation_id: int) -> int:
    """Take the next HD index. The row stays locked until the transaction ends, so no index is given twice."""
    row = session.exec(select(GenerationRow).where(GenerationRow.id == generation_id).with_for_update()).one()
    index = row.next_index
    row.next_index = index + 1
    session.add(row)
    session.flush()
    return index


def raise_index(session: Session, generation_id: int, above: int) -> None:
    """No index up to and including `above` is given out again."""
    row = session.exec(select(GenerationRow).where(GenerationRow.id == generation_id).with_for_update()).one()
    if row.next_index <= above:
        row.next_index = above + 1
        session.add(row)


def add_address(session: Session, one: PaymentAddress, now: datetime) -> None:
    add_addresses(session, [one], now)


def add_addresses(session: Session, given: Sequence[PaymentAddress], now: datetime) -> None:
    rows = [
        {
            "address": one.address,
            "kind": one.kind,
            "generation_id": one.generation_id,
            "invoice_id": one.invoice_id,
            "deposit_id": one.deposit_id,
            "salt": one.salt,
            "hd_index": one.hd_index,
            "created_at": now,
        }
        for one in given
    ]
    bulk.copy(session, PaymentAddressRow, rows)


def known(session: Session, address: Address) -> PaymentAddress | None:
    row = session.exec(select(PaymentAddressRow).where(PaymentAddressRow.address == address)).first()
    return None if row is None else _address(row)


def counts(session: Session) -> dict[int, dict[str, int]]:
    """{generation: {kind: how many addresses}}."""
    found: dict[int, dict[str, int]] = {}
    rows = session.exec(
        select(PaymentAddressRow.generation_id, PaymentAddressRow.kind, func.count()).group_by(
            col(PaymentAddressRow.generation_id), col(PaymentAddressRow.kind)
        )
    )
    for generation_id, kind, number in rows:
        found.setdefault(generation_id, {})[kind] = number
    return found


def of_invoice(session: Session, invoice_id: int) -> PaymentAddress | None:
    row = session.exec(select(PaymentAddressRow).where(PaymentAddressRow.invoice_id == invoice_id)).first()
    return None if row is None else _address(row)


def addresses(session: Session, after_id: int = 0) -> tuple[list[PaymentAddress], int]:
    """Addresses whose rows came after `after_id`, and the newest row's id: a watcher keeps its set up to date with it."""
    rows = session.exec(
        select(PaymentAddressRow).where(col(PaymentAddressRow.id) > after_id).order_by(col(PaymentAddressRow.id))
    ).all()
    return [_address(row) for row in rows], max((row.id or 0 for row in rows), default=after_id)


def _address(row: PaymentAddressRow) -> PaymentAddress:
    return PaymentAddress(
        Address(row.address), row.kind, row.generation_id, row.invoice_id, row.salt, row.hd_index, row.deposit_id
    )


def count(session: Session) -> int:
    """How many addresses there are."""
    return session.exec(select(func.count()).select_from(PaymentAddressRow)).one()

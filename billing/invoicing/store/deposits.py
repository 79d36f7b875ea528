"""Rows of deposit documents, and the addresses that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from billing.core.errors import NotFound
from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import parse_time
from billing.db.tables.prepaid import DepositDocumentRow
from billing.db.tables.tenants import TenantRow
from billing.db.tables.wallets import PaymentAddressRow
from billing.invoicing import document as documents
from billing.invoicing.deposit import Deposit
from billing.invoicing.document import DepositDocument
from billing.wallets import store as wallets
from billing.wallets.store import PaymentAddress


@dataclass(frozen=True, slots=True)
class Given:
    """A deposit document about to be stored, and the address that it makes."""

    tenant_id: int
    document: DepositDocument
    content: bytes
    digest: Hash32
    series: str
    replaces_id: int | None


def hold(session: Session, tenant_id: int) -> None:
    """Nobody else gives this tenant an address until this transaction ends."""
    session.exec(select(TenantRow.id).where(TenantRow.id == tenant_id).with_for_update(key_share=True)).one()


def add(session: Session, one: Given) -> int:
    row = DepositDocumentRow(
        number=one.document.number,
        series=one.series,
        tenant_id=one.tenant_id,
        currency=one.document.currency.code,
        exponent=one.document.currency.exponent,
        document=one.content,
        digest=one.digest,
        replaces_id=one.replaces_id,
        issued_at=parse_time(one.document.issued_at),
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def watch(session: Session, address: PaymentAddress, now: datetime) -> None:
    wallets.add_address(session, address, now)
    session.flush()


def live(session: Session, tenant_id: int, currency: str) -> Deposit | None:
    """The address that a tenant is shown: the one that nothing replaced."""
    found = of_tenant(session, tenant_id, currency)
    return found[-1] if found else None


def of_tenant(session: Session, tenant_id: int, currency: str | None = None) -> list[Deposit]:
    """All addresses that a tenant was ever given, oldest first."""
    where = [DepositDocumentRow.tenant_id == tenant_id]
    if currency is not None:
        where.append(DepositDocumentRow.currency == currency)
    return _listed(session, where)


def by_id(session: Session, deposit_id: int) -> Deposit:
    return _listed(session, [DepositDocumentRow.id == deposit_id])[0]


def by_number(session: Session, number: str) -> Deposit:
    """Raises NotFound."""
    found = _listed(session, [DepositDocumentRow.number == number])
    if not found:
        raise NotFound(f"there is no deposit address {number}", remedy="see: stablemeter tenant deposit-address NAME")
    return found[0]


def id_of(session: Session, digest: str) -> int | None:
    return session.exec(select(DepositDocumentRow.id).where(DepositDocumentRow.digest == digest)).first()


def _listed(session: Session, where: Sequence[object]) -> list[Deposit]:
    rows = session.exec(
        select(DepositDocumentRow, TenantRow.slug, PaymentAddressRow)
        .join(TenantRow, col(TenantRow.id) == DepositDocumentRow.tenant_id)
        .join(PaymentAddressRow, col(PaymentAddressRow.deposit_id) == DepositDocumentRow.id)
        .where(*where)  # type: ignore[arg-type]
        .order_by(col(DepositDocumentRow.id))
    ).all()
    return [_deposit(row, slug, address) for row, slug, address in rows]


def _deposit(row: DepositDocumentRow, slug: str, address: PaymentAddressRow) -> Deposit:
    parsed = documents.parse(row.document)
    assert isinstance(parsed, DepositDocument) and row.id is not None
    return Deposit(
        id=row.id,
        number=row.number,
        tenant=slug,
        tenant_id=row.tenant_id,
        currency=Asset(row.currency, row.exponent),
        issued_at=row.issued_at,
        digest=Hash32(row.digest),
        address=Address(address.address),
        generation_id=address.generation_id,
        document=parsed,
        content=bytes(row.document),
        replaces=parsed.replaces.number if parsed.replaces else None,
    )

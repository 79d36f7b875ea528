"""Rows of lists and of what screening said."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.compliance.screening import SanctionsList, Screened
from billing.core.onchain import Address, Hash32
from billing.db.tables.compliance import SanctionsListRow, ScreeningRow


def keep(session: Session, found: SanctionsList, stale_after_days: int, now: datetime) -> bool:
    """Store what a list's file holds now. Returns whether it is another version than the newest."""
    _lock(session)
    row = _newest(session, found.name)
    new = row is None or row.digest != found.digest
    if row is None or row.digest != found.digest:
        row = SanctionsListRow(
            name=found.name,
            digest=found.digest,
            addresses=sorted(found.addresses),
            dated=found.dated,
            stale_after_days=stale_after_days,
            read_at=now,
        )
    row.dated, row.stale_after_days = found.dated, stale_after_days
    row.problem, row.dropped_at = "", None
    session.add(row)
    session.flush()
    return new


def cannot_read(session: Session, name: str, problem: str) -> SanctionsList | None:
    """The file of a list cannot be read. Returns the last good version, which still counts; None when there never was one."""
    row = _newest(session, name)
    if row is None:
        return None
    if (row.problem, row.dropped_at) != (problem, None):
        row.problem, row.dropped_at = problem, None
        session.add(row)
    return _list(row)


def drop_others(session: Session, names: Collection[str], now: datetime) -> None:
    """The settings name these lists and no others: of the others nobody is warned any more."""
    for row in session.exec(
        select(SanctionsListRow).where(
            col(SanctionsListRow.name).not_in(names), col(SanctionsListRow.dropped_at).is_(None)
        )
    ):
        row.dropped_at = now
        session.add(row)


def lists(session: Session) -> list[dict[str, Any]]:
    """The newest version of each list that the settings name, without its addresses."""
    rows = session.execute(
        text(
            "SELECT DISTINCT ON (name) name, digest, cardinality(addresses) AS addresses, dated, stale_after_days, problem,"
            " read_at FROM sanctions_list WHERE dropped_at IS NULL ORDER BY name, id DESC"
        )
    )
    return [dict(row._mapping) for row in rows]


def _lock(session: Session) -> None:
    """One writer of lists at a time: a daemon and a command may read the same file."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('sanctions_list'))"))


def _newest(session: Session, name: str) -> SanctionsListRow | None:
    return session.exec(
        select(SanctionsListRow).where(SanctionsListRow.name == name).order_by(col(SanctionsListRow.id).desc()).limit(1)
    ).first()


def _list(row: SanctionsListRow) -> SanctionsList:
    return SanctionsList(row.name, frozenset(map(Address, row.addresses)), row.dated)


def record(session: Session, transfer: tuple[int, int], screened: Screened, now: datetime) -> None:
    """What the screening of a (transfer, incarnation) said. Once."""
    session.add(
        ScreeningRow(
            transfer_id=transfer[0],
            incarnation=transfer[1],
            sender=screened.sender,
            signer=screened.signer,
            hit=str(screened.hit or ""),
            screened_by=list(screened.by),
            screened_at=now,
        )
    )
    session.flush()


def screening_of(session: Session, transfer: tuple[int, int]) -> Mapping[str, Any] | None:
    row = session.exec(
        select(ScreeningRow).where(ScreeningRow.transfer_id == transfer[0], ScreeningRow.incarnation == transfer[1])
    ).first()
    return None if row is None else row.model_dump()


@dataclass(frozen=True, slots=True)
class Earlier:
    """A payment that was booked before a list had its sender."""

    transfer_id: int
    incarnation: int
    tx_hash: Hash32
    mined_at: datetime
    invoice_id: int | None
    tenant_id: int | None
    part: str
    address: Address


def unlooked(session: Session) -> list[tuple[int, str]]:
    """(id, name) of versions of lists that earlier payments were not compared with yet."""
    rows = session.execute(
        text("SELECT id, name FROM sanctions_list WHERE looked_back_at IS NULL ORDER BY id FOR UPDATE")
    )
    return [(row.id, row.name) for row in rows]


def earlier(session: Session, list_id: int) -> list[Earlier]:
    """Payments that stand, that were not stopped, and whose sender or signer is on a version of a list."""
    rows = session.execute(
        text(
            "WITH bad AS (SELECT unnest(addresses) AS address FROM sanctions_list WHERE id = :list),"
            " found AS (SELECT t.id, 'sender' AS part, t.from_address AS address FROM transfer t"
            "            WHERE t.from_address IN (SELECT address FROM bad)"
            "           UNION ALL SELECT s.transfer_id, 'signer of the transaction', s.signer FROM screening s"
            "            WHERE s.signer IN (SELECT address FROM bad))"
            " SELECT DISTINCT ON (t.id) t.id, t.incarnation, t.tx_hash, t.mined_at, p.invoice_id, p.tenant_id, f.part,"
            "  f.address FROM found f JOIN transfer t ON t.id = f.id JOIN payment p ON p.transfer_id = t.id"
            "   AND p.incarnation = t.incarnation AND p.disposition <> 'reversed'"
            "  JOIN payment_address a ON a.address = t.to_address AND a.kind <> 'treasury'"
            "  LEFT JOIN screening s ON s.transfer_id = t.id AND s.incarnation = t.incarnation"
            " WHERE coalesce(s.hit, '') = '' ORDER BY t.id, f.part"
        ),
        {"list": list_id},
    )
    return [
        Earlier(
            row.id,
            row.incarnation,
            Hash32(row.tx_hash),
            row.mined_at,
            row.invoice_id,
            row.tenant_id,
            row.part,
            Address(row.address),
        )
        for row in rows
    ]


def looked_back(session: Session, list_id: int, now: datetime) -> None:
    row = session.get_one(SanctionsListRow, list_id)
    row.looked_back_at = now
    session.add(row)
    session.flush()


@dataclass(frozen=True, slots=True)
class HeldPayment:
    """A payment that is held. `moved_by` is the first transaction since that took its token away from its address, if any."""

    transfer_id: int
    incarnation: int
    invoice_id: int | None
    tenant_id: int | None
    moved_by: Hash32 | None


def held_at(session: Session, chain_id: int, address: Address, token: Address) -> list[HeldPayment]:
    """Payments to an address in a token that are held."""
    rows = session.execute(
        text(
            "SELECT DISTINCT ON (t.id) t.id, t.incarnation, p.invoice_id, p.tenant_id, o.tx_hash"
            "  FROM transfer t JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation"
            "   AND p.disposition = 'held'"
            "  LEFT JOIN transfer o ON o.chain_id = t.chain_id AND o.from_address = t.to_address"
            "   AND o.token_address = t.token_address AND o.state <> 'orphaned'"
            "   AND (o.block_number, o.log_index) > (t.block_number, t.log_index)"
            " WHERE t.chain_id = :chain AND t.to_address = :address AND t.token_address = :token AND t.state <> 'orphaned'"
            " ORDER BY t.id, o.block_number, o.log_index"
        ),
        {"chain": chain_id, "address": address, "token": token},
    )
    return [
        HeldPayment(
            row.id, row.incarnation, row.invoice_id, row.tenant_id, Hash32(row.tx_hash) if row.tx_hash else None
        )
        for row in rows
    ]

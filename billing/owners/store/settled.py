"""What was collected on invoices, what was settled of it, and what was paid out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Seconds, Span
from billing.db.tables.owners import SettlementLineRow, SettlementRow
from billing.ledger.account import owner_payable
from billing.owners.postings import PAYOUT
from billing.owners.statement import Charged, Collected, Key, Part

_COLLECTED: Final = """(
    (SELECT coalesce(sum(p.applied_units), 0) FROM payment p WHERE p.invoice_id = i.id AND p.disposition = 'matched')
    + (SELECT coalesce(sum(a.applied_units), 0) FROM assignment a WHERE a.invoice_id = i.id AND a.ended_at IS NULL)
    + (SELECT coalesce(sum(u.units), 0) FROM credit_use u JOIN tenant_credit c ON c.id = u.credit_id
        WHERE u.invoice_id = i.id AND c.kind IN ('prepaid', 'overpayment')
          AND CASE WHEN c.transfer_id IS NULL THEN c.reversed_at IS NULL
                   ELSE EXISTS (SELECT FROM payment p
                                 WHERE p.transfer_id = c.transfer_id AND p.disposition <> 'reversed') END))"""
"""What came in for the invoice `i`: payments that stand, what persons applied of others, and used credit that was paid for."""

_CHARGES: Final = """
    SELECT c.invoice_id, c.position, c.device_id, d.gpu_id, c.during, sum(c.amount) AS amount,
           coalesce(sum(c.amount) FILTER (WHERE c.kind <> 'cancel'), 0) AS gross, min(c.tenant_id) AS tenant_id
      FROM charge c LEFT JOIN device d ON d.id = c.device_id
     WHERE c.invoice_id = ANY(:ids) GROUP BY c.invoice_id, c.position, c.device_id, d.gpu_id, c.during"""


def lock(session: Session) -> None:
    """One settles at a time; the others wait."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('owner_settlement', 0))"))


def shares_digest(session: Session) -> str:
    """A digest of all shares and fees, as they are now."""
    found = session.execute(
        text(
            "SELECT md5(coalesce((SELECT string_agg(s::text, '|' ORDER BY s.id) FROM gpu_share s), '')"
            " || '#' || coalesce((SELECT string_agg(f::text, '|' ORDER BY f.id) FROM owner_fee f), ''))"
        )
    )
    return str(found.scalar_one())


def due(session: Session, after_id: int, limit: int, digest: str, looked_before: datetime) -> list[int]:
    """Invoices that nobody looked at since a time, or since shares or what was collected changed, in order."""
    rows = session.execute(
        text(
            "SELECT i.id FROM invoice i LEFT JOIN owner_look o ON o.invoice_id = i.id WHERE i.id > :after"  # noqa: S608
            f" AND (o.invoice_id IS NULL OR o.shares_digest <> :digest OR o.looked_at < :before OR o.collected <> {_COLLECTED})"
            " ORDER BY i.id LIMIT :limit"
        ),
        {"after": after_id, "limit": limit, "digest": digest, "before": looked_before},
    )
    return [row.id for row in rows]


def mark_looked_at(session: Session, ids: Sequence[int], digest: str, now: datetime) -> None:
    session.execute(
        text(
            "INSERT INTO owner_look (invoice_id, collected, shares_digest, looked_at)"  # noqa: S608
            f" SELECT i.id, {_COLLECTED}, :digest, :now FROM invoice i WHERE i.id = ANY(:ids)"
            " ON CONFLICT (invoice_id) DO UPDATE SET collected = EXCLUDED.collected,"
            " shares_digest = EXCLUDED.shares_digest, looked_at = EXCLUDED.looked_at"
        ),
        {"ids": list(ids), "digest": digest, "now": now},
    )


def concerned(session: Session, ids: Sequence[int]) -> list[int]:
    """Of some invoices those that charge for GPUs which somebody owns or owned, or on which something was settled, in order."""
    rows = session.execute(
        text(
            "SELECT i.id FROM invoice i WHERE i.id = ANY(:ids) AND ("
            " EXISTS (SELECT FROM charge c JOIN device d ON d.id = c.device_id JOIN gpu_share s ON s.gpu_id = d.gpu_id"
            "          WHERE c.invoice_id = i.id)"
            " OR EXISTS (SELECT FROM owner_settlement_line l WHERE l.invoice_id = i.id)) ORDER BY i.id"
        ),
        {"ids": list(ids)},
    )
    return [row.id for row in rows]


def collected(session: Session, ids: Sequence[int]) -> list[Collected]:
    """What invoices charge and brought in: payments that stand and used credit that was paid for (neither promotional, nor
    taken back by its chain); not what was written off. When devices were used is left out."""
    sql = f"SELECT i.id, i.currency, i.total, {_COLLECTED} AS collected FROM invoice i WHERE i.id = ANY(:ids) ORDER BY i.id"  # noqa: S608
    charged: dict[int, list[Charged]] = defaultdict(list)
    gross: dict[int, int] = defaultdict(int)
    for row in session.execute(text(_CHARGES), {"ids": list(ids)}):
        span = Span(row.during.lower, row.during.upper).seconds
        one = Charged(row.position, row.gpu_id, row.device_id, span, int(row.amount), row.tenant_id)
        charged[row.invoice_id].append(one)
        gross[row.invoice_id] += int(row.gross)
    return [
        Collected(row.id, row.currency, int(row.total), int(row.collected), tuple(charged[row.id]), gross[row.id])
        for row in session.execute(text(sql), {"ids": list(ids)})
    ]


def used(session: Session, charge: Charged) -> tuple[Seconds, ...]:
    """When a charge's tenant used its device, as far as it is known now."""
    start, end = charge.span
    rows = session.execute(
        text(
            "SELECT extract(epoch FROM greatest(lower(during), to_timestamp(:start)))::bigint AS start,"
            " extract(epoch FROM least(upper(during), to_timestamp(:end)))::bigint AS until FROM usage"
            " WHERE device_id = :device AND tenant_id = :tenant AND superseded_at IS NULL"
            " AND during && tstzrange(to_timestamp(:start), to_timestamp(:end)) ORDER BY 1"
        ),
        {"device": charge.device_id, "tenant": charge.tenant_id, "start": start, "end": end},
    )
    return tuple((row.start, row.until) for row in rows)


def booked(session: Session, ids: Sequence[int]) -> dict[Key, Part]:
    """What was settled of some invoices so far."""
    rows = session.execute(
        text(
            "SELECT owner_id, invoice_id, gpu_id, currency, sum(collected) AS collected, sum(fee) AS fee"
            " FROM owner_settlement_line WHERE invoice_id = ANY(:ids) GROUP BY 1, 2, 3, 4"
        ),
        {"ids": list(ids)},
    )
    return {
        Key(row.owner_id, row.invoice_id, row.gpu_id, row.currency): Part(int(row.collected), int(row.fee))
        for row in rows
    }


def add(session: Session, entry_id: int | None, lines: Mapping[Key, Part], now: datetime, actor: str) -> int:
    """Keep what a run books."""
    row = SettlementRow(entry_id=entry_id, booked_on=now.date(), settled_at=now, settled_by=actor)
    session.add(row)
    session.flush()
    assert row.id is not None
    session.add_all(
        SettlementLineRow(
            settlement_id=row.id,
            owner_id=key.owner_id,
            invoice_id=key.invoice_id,
            gpu_id=key.gpu_id,
            currency=key.currency,
            collected=part.collected,
            fee=part.fee,
        )
        for key, part in lines.items()
    )
    session.flush()
    return row.id


@dataclass(frozen=True, slots=True)
class Earned:
    """What was settled of a GPU in some days, in the currency's smallest unit."""

    uuid: str
    host: str
    currency: str
    part: Part


def earned(session: Session, owner_id: int, first: date, end: date) -> list[Earned]:
    """What was settled for an owner from a day until before another, GPU by GPU."""
    rows = session.execute(
        text(
            "SELECT g.uuid, g.host, l.currency, sum(l.collected) AS collected, sum(l.fee) AS fee"
            " FROM owner_settlement_line l JOIN owner_settlement s ON s.id = l.settlement_id JOIN gpu g ON g.id = l.gpu_id"
            " WHERE l.owner_id = :owner AND s.booked_on >= :first AND s.booked_on < :end"
            " GROUP BY g.id, l.currency HAVING sum(l.collected) <> 0 OR sum(l.fee) <> 0"
            " ORDER BY l.currency, g.host, g.uuid"
        ),
        {"owner": owner_id, "first": first, "end": end},
    )
    return [Earned(r.uuid, r.host, r.currency, Part(int(r.collected), int(r.fee))) for r in rows]


@dataclass(frozen=True, slots=True)
class Paid:
    """A payout that was booked, or taken back (then negative)."""

    booked_on: date
    currency: str
    units: int
    tx_hash: str


def paid(session: Session, owner: str, first: date, end: date) -> list[Paid]:
    """What was paid out to an owner from a day until before another."""
    rows = session.execute(
        text(
            "SELECT e.booked_on, p.asset, p.units, e.memo FROM posting p JOIN entry e ON e.id = p.entry_id"
            " WHERE p.account = :account AND e.kind = ANY(:kinds) AND e.booked_on >= :first AND e.booked_on < :end"
            " ORDER BY e.id, p.id"
        ),
        {"account": owner_payable(owner), "kinds": [PAYOUT, f"{PAYOUT}.reversal"], "first": first, "end": end},
    )
    return [Paid(row.booked_on, row.asset, int(row.units), row.memo) for row in rows]


def owed(session: Session, owner: str, before: date | None = None) -> dict[str, int]:
    """{currency: what an owner is owed} by the ledger: now, or at the beginning of a day."""
    rows = session.execute(
        text(
            "SELECT p.asset, -sum(p.units) AS units FROM posting p JOIN entry e ON e.id = p.entry_id"
            " WHERE p.account = :account AND (CAST(:before AS date) IS NULL OR e.booked_on < :before)"
            " GROUP BY p.asset HAVING sum(p.units) <> 0 ORDER BY p.asset"
        ),
        {"account": owner_payable(owner), "before": before},
    )
    return {row.asset: int(row.units) for row in rows}


def exponents(session: Session) -> dict[str, int]:
    """Decimals of every currency that was ever invoiced."""
    rows = session.execute(text("SELECT DISTINCT currency, exponent FROM invoice"))
    return {row.currency: row.exponent for row in rows}

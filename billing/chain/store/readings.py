"""Rows of what addresses hold, as it was read from a chain; and which addresses are to be looked at next.

A reading is of one block, by its hash. It waits until that block is final. Then it is counted, and replaces the one before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.balances import NATIVE, Place
from billing.chain.block import Block
from billing.core.onchain import Address, Hash32

ROTATION_DAYS: Final = 30
"""In so many days every address is looked at once, however quiet it is."""
EVERYTHING: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Owner:
    """An address that is to be looked at."""

    address: Address
    kind: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a place held in a block. `units` is None where it could not be told; `why` says why."""

    place: Place
    units: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A counted reading beside what transfers up to its block come to."""

    place: Place
    block_number: int
    units: int | None
    why: str
    moved: int


def due(session: Session, chain_id: int, midnight: datetime, *, limit: int | None = None) -> list[Owner]:
    """Whom to look at on a chain, those first who were not looked at for longest. Nobody who has a reading that waits.

    Each day: treasuries, deposit addresses, addresses of unpaid invoices, those that held something and those that moved
    since. Each of the others on its own day of the rotation. With `limit` those that were looked at since `midnight` are left
    out; without, a person wants to know it now.
    """
    rows = session.execute(
        text(
            "WITH last AS (SELECT address, max(read_at) AS read_at, bool_or(units > 0) AS holds,"
            "   bool_or(counted_at IS NULL) AS waits FROM balance_reading WHERE chain_id = :chain GROUP BY address),"
            " one AS (SELECT a.id, a.address, a.kind, a.invoice_id, coalesce(l.read_at, '-infinity') AS read_at,"
            "   coalesce(l.holds, false) AS holds, coalesce(l.waits, false) AS waits,"
            "   CAST(:midnight AS timestamptz) - make_interval(days =>"
            "    CAST(mod(mod(:day - a.id, :days) + :days, :days) AS int)) AS slot"
            "   FROM payment_address a LEFT JOIN last l ON l.address = a.address)"
            " SELECT address, kind FROM one WHERE NOT waits AND (read_at < slot"
            "  OR (CAST(:now_or_since AS timestamptz) > read_at AND (kind IN ('treasury', 'deposit') OR holds"
            "   OR EXISTS (SELECT FROM invoice i WHERE i.id = one.invoice_id AND i.status IN ('open', 'uncollectible'))"
            "   OR EXISTS (SELECT FROM transfer t WHERE t.chain_id = :chain AND t.to_address = one.address"
            "       AND t.state_at >= one.read_at)"
            "   OR EXISTS (SELECT FROM transfer t WHERE t.chain_id = :chain AND t.from_address = one.address"
            "       AND t.state_at >= one.read_at))))"
            " ORDER BY read_at, id LIMIT :limit"
        ),
        {
            "chain": chain_id,
            "midnight": midnight,
            "day": midnight.toordinal(),
            "days": ROTATION_DAYS,
            "now_or_since": midnight if limit is not None else "infinity",
            "limit": EVERYTHING if limit is None else limit,
        },
    )
    return [Owner(Address(row.address), row.kind) for row in rows]


def add(session: Session, chain_id: int, block: Block, found: Sequence[Reading], now: datetime) -> None:
    """Keep what was read until its block is final. Where a reading waits already, that one stays."""
    session.execute(
        text(
            "INSERT INTO balance_reading (chain_id, address, token_address, block_number, block_hash, units, why, read_at)"
            " SELECT :chain, owner, token, :number, :hash, units, why, :now FROM unnest(CAST(:owners AS text[]),"
            " CAST(:tokens AS text[]), CAST(:units AS numeric[]), CAST(:whys AS text[])) AS one (owner, token, units, why)"
            " ON CONFLICT (chain_id, address, token_address) WHERE counted_at IS NULL DO NOTHING"
        ),
        {
            "chain": chain_id,
            "number": block.number,
            "hash": block.hash,
            "now": now,
            "owners": [one.place[0] for one in found],
            "tokens": [one.place[1] for one in found],
            "units": [None if one.units is None else Decimal(one.units) for one in found],
            "whys": [one.why for one in found],
        },
    )


def waiting(session: Session, chain_id: int, up_to: int) -> list[tuple[int, Hash32]]:
    """(number, hash) of the blocks up to a height in which there are readings that wait."""
    rows = session.execute(
        text(
            "SELECT DISTINCT block_number, block_hash FROM balance_reading"
            " WHERE chain_id = :chain AND counted_at IS NULL AND block_number <= :number ORDER BY block_number"
        ),
        {"chain": chain_id, "number": up_to},
    )
    return [(row.block_number, Hash32(row.block_hash)) for row in rows]


def lock(session: Session, chain_id: int) -> None:
    """One at a time counts: the daemon, and a person who asks for an audit."""
    key = f"stablemeter:balances:{chain_id}"
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def count(session: Session, chain_id: int, block_hash: Hash32, now: datetime) -> list[Reading]:
    """Readings of a block that is final count from now on, instead of those before."""
    values = {"chain": chain_id, "hash": block_hash, "now": now}
    session.execute(
        text(
            "DELETE FROM balance_reading old USING balance_reading new WHERE old.counted_at IS NOT NULL"
            " AND new.counted_at IS NULL AND new.chain_id = :chain AND new.block_hash = :hash AND old.chain_id = :chain"
            " AND old.address = new.address AND old.token_address = new.token_address"
        ),
        values,
    )
    rows = session.execute(
        text(
            "UPDATE balance_reading SET counted_at = :now WHERE chain_id = :chain AND block_hash = :hash"
            " AND counted_at IS NULL RETURNING address, token_address, units, why"
        ),
        values,
    )
    return [
        Reading(
            (Address(row.address), Address(row.token_address)), None if row.units is None else int(row.units), row.why
        )
        for row in rows
    ]


def forget(session: Session, chain_id: int, block_hash: Hash32) -> int:
    """That block is not on the chain any more: what was read there waits for nothing, and is read again. Returns how many."""
    gone = session.execute(
        text("DELETE FROM balance_reading WHERE chain_id = :chain AND block_hash = :hash AND counted_at IS NULL"),
        {"chain": chain_id, "hash": block_hash},
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def forget_above(session: Session, chain_id: int, number: int) -> None:
    """A person takes back what was final: so are the readings that counted."""
    session.execute(
        text("DELETE FROM balance_reading WHERE chain_id = :chain AND block_number > :number"),
        {"chain": chain_id, "number": number},
    )


def compared(session: Session, chain_id: int) -> list[Compared]:
    """Every token's counted reading beside its transfers, where the two differ; those of treasuries all."""
    rows = session.execute(
        text(
            "WITH counted AS (SELECT * FROM balance_reading WHERE chain_id = :chain AND counted_at IS NOT NULL"
            "   AND (token_address <> :native OR units IS NULL)),"
            " moved AS (SELECT id, sum(units) AS units FROM ("
            "   SELECT r.id, t.units FROM counted r JOIN transfer t ON t.to_address = r.address"
            "    AND t.chain_id = :chain AND t.token_address = r.token_address AND t.block_number <= r.block_number"
            "    AND t.state <> 'orphaned'"
            "   UNION ALL SELECT r.id, -t.units FROM counted r JOIN transfer t ON t.from_address = r.address"
            "    AND t.chain_id = :chain AND t.token_address = r.token_address AND t.block_number <= r.block_number"
            "    AND t.state <> 'orphaned') AS every GROUP BY id)"
            " SELECT r.address, r.token_address, r.block_number, r.units, r.why, coalesce(m.units, 0) AS moved"
            "  FROM counted r JOIN payment_address a ON a.address = r.address LEFT JOIN moved m ON m.id = r.id"
            "  WHERE a.kind = 'treasury' OR r.units IS DISTINCT FROM coalesce(m.units, 0) ORDER BY r.id"
        ),
        {"chain": chain_id, "native": NATIVE},
    )
    return [
        Compared(
            (Address(row.address), Address(row.token_address)),
            row.block_number,
            None if row.units is None else int(row.units),
            row.why,
            int(row.moved),
        )
        for row in rows
    ]


def moved(session: Session, chain_id: int, number: int, places: Sequence[Place]) -> dict[Place, int]:
    """What transfers up to a block left on some places. Those that none touched are 0."""
    rows = session.execute(
        text(
            "WITH wanted AS (SELECT DISTINCT address FROM unnest(CAST(:owners AS text[])) AS one (address))"
            " SELECT address, token_address, sum(units) AS units FROM ("
            "  SELECT w.address, t.token_address, t.units FROM wanted w JOIN transfer t ON t.to_address = w.address"
            "   WHERE t.chain_id = :chain AND t.block_number <= :number AND t.state <> 'orphaned'"
            "  UNION ALL SELECT w.address, t.token_address, -t.units FROM wanted w"
            "   JOIN transfer t ON t.from_address = w.address"
            "   WHERE t.chain_id = :chain AND t.block_number <= :number AND t.state <> 'orphaned'"
            " ) AS every GROUP BY address, token_address"
        ),
        {"chain": chain_id, "number": number, "owners": [owner for owner, _ in places]},
    )
    found = {(Address(row.address), Address(row.token_address)): int(row.units) for row in rows}
    return {place: found.get(place, 0) for place in places}

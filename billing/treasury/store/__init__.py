"""What came in and was not flushed yet, as stored transfers say."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.balances import NATIVE
from billing.core.onchain import Address, Hash32


@dataclass(frozen=True, slots=True)
class Holding:
    """What an address of a generation must hold of a token, by transfers that are final."""

    generation_id: int
    address: Address
    token: Address
    units: int
    salt: Hash32
    hd_index: int | None
    invoice: str
    """The number of the document that made the address: an invoice's, or a deposit document's."""
    suspended: bool
    """Money came in that a person must look at."""
    held: bool = False
    """Money came in whose sender is on a list."""
    unbooked: bool = False
    """Money came in that was not dealt with yet: nobody was asked about its sender."""


def addresses(session: Session, generations: Iterable[int]) -> list[Holding]:
    """Every payment address of some generations, as if it held native coin: nobody listens to coin, so anyone may."""
    rows = session.execute(
        text(
            "SELECT a.generation_id, a.address, a.salt, a.hd_index, coalesce(i.number, d.number, '') AS invoice,"
            " EXISTS (SELECT 1 FROM transfer t JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation"
            "  WHERE t.to_address = a.address AND p.disposition = 'held') AS held"
            " FROM payment_address a LEFT JOIN invoice i ON i.id = a.invoice_id"
            " LEFT JOIN deposit_document d ON d.id = a.deposit_id"
            " WHERE a.kind <> 'treasury' AND a.generation_id = ANY(:generations) ORDER BY a.id"
        ),
        {"generations": list(generations)},
    )
    return [
        Holding(
            row.generation_id,
            Address(row.address),
            NATIVE,
            0,
            Hash32(row.salt),
            row.hd_index,
            row.invoice,
            suspended=False,
            held=row.held,
        )
        for row in rows
    ]


def holdings(session: Session, chain_id: int, final: int, generations: Iterable[int]) -> list[Holding]:
    """Addresses that were paid on a chain, and still hold something when everything up to its final block is counted."""
    rows = session.execute(
        text(
            "SELECT a.generation_id, a.address, m.token_address, sum(m.units) AS units, a.salt, a.hd_index,"
            "  coalesce(i.number, d.number, '') AS invoice, bool_or(m.suspended) AS suspended, bool_or(m.held) AS held,"
            "  bool_or(m.unbooked) AS unbooked"
            " FROM payment_address a LEFT JOIN invoice i ON i.id = a.invoice_id"
            " LEFT JOIN deposit_document d ON d.id = a.deposit_id JOIN ("
            "  SELECT t.to_address AS address, t.token_address,"
            "         CASE WHEN t.state = 'final' AND t.block_number <= :final THEN t.units ELSE 0 END AS units,"
            "         coalesce(p.disposition = 'suspended', false) AS suspended,"
            "         coalesce(p.disposition = 'held', false) AS held, p.id IS NULL AS unbooked"
            "    FROM transfer t LEFT JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation"
            "   WHERE t.chain_id = :chain AND t.state <> 'orphaned'"  # what waits for a person may do so before it is final
            "  UNION ALL SELECT t.from_address, t.token_address, -t.units, false, false, false"
            "    FROM transfer t"
            "   WHERE t.chain_id = :chain AND t.state <> 'orphaned'"  # what leaves is gone before it is final
            " ) AS m ON m.address = a.address"
            " WHERE a.kind <> 'treasury' AND a.generation_id = ANY(:generations)"
            " GROUP BY a.id, i.number, d.number, m.token_address HAVING sum(m.units) > 0 ORDER BY a.id, m.token_address"
        ),
        {"chain": chain_id, "final": final, "generations": list(generations)},
    )
    return [
        Holding(
            row.generation_id,
            Address(row.address),
            Address(row.token_address),
            int(row.units),
            Hash32(row.salt),
            row.hd_index,
            row.invoice,
            row.suspended,
            row.held,
            row.unbooked,
        )
        for row in rows
    ]

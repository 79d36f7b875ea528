"""Gathers what suggestions are made of: what is open, what waits, and who paid from the same address before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.chain.store import tokens
from billing.chain.tokens import Token
from billing.core.money import Asset
from billing.core.onchain import Address
from billing.reconciliation.matching import MatchKind
from billing.reconciliation.suggestion import OVERPAID, UNDERPAID, Due, Facts, Waiting
from billing.reconciliation.valuation import value_at_par

WAITING_MAX: Final = 1_000
OPEN_MAX: Final = 10_000
ALIKE_MAX: Final = 3

_MONEY: Final = """
    SELECT e.id, e.kind, e.tenant_id, e.invoice_id, e.transfer_id, t.chain_id, t.token_address, t.units, t.from_address,
           n.slug AS tenant, n.tolerance_units, e.status = 'open' OR e.resolution = 'acknowledge' AS undecided
      FROM exception e LEFT JOIN transfer t ON t.id = e.transfer_id AND t.state <> 'orphaned'
      LEFT JOIN tenant n ON n.id = e.tenant_id"""

_OPEN: Final = """
    SELECT i.id, i.number, i.tenant_id, n.slug AS tenant, i.currency, i.replaces_id,
           coalesce(r.owed, 0) + coalesce(w.units, 0) AS remaining
      FROM invoice i JOIN tenant n ON n.id = i.tenant_id
      LEFT JOIN LATERAL (SELECT sum(p.units) AS owed FROM posting p
                          WHERE p.invoice_id = i.id AND p.account = 'receivable') r ON true
      LEFT JOIN write_off w ON w.invoice_id = i.id AND w.ended_at IS NULL
     WHERE i.status IN ('open', 'uncollectible') AND i.currency = :currency ORDER BY i.due_at, i.id LIMIT :most"""

_SENDERS: Final = """
    SELECT DISTINCT t.from_address, p.tenant_id FROM transfer t
      JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation AND p.disposition IN ('matched', 'resolved')
     WHERE t.from_address = ANY(:senders) AND p.tenant_id IS NOT NULL"""


def gather(session: Session, exceptions: Sequence[int], currency: Asset) -> dict[int, Facts]:
    """{exception id: facts} of those that are not decided."""
    asked = {
        row.id: row
        for row in session.execute(text(f"{_MONEY} WHERE e.id = ANY(:ids) ORDER BY e.id"), {"ids": list(exceptions)})
        if row.undecided
    }
    if not asked:
        return {}
    waiting = session.execute(
        text(f"{_MONEY} WHERE e.status = 'open' AND t.id IS NOT NULL ORDER BY e.id LIMIT :most"), {"most": WAITING_MAX}
    ).all()
    due = session.execute(text(_OPEN), {"currency": currency.code, "most": OPEN_MAX}).all()
    senders = {row.from_address for row in asked.values() if row.from_address}
    paid_for: dict[str, set[int]] = defaultdict(set)
    for row in session.execute(text(_SENDERS), {"senders": sorted(senders)}):
        paid_for[row.from_address].add(row.tenant_id)
    known = tokens.known(session)
    return {
        number: _facts(row, (waiting, due, paid_for.get(row.from_address, set())), known, currency)
        for number, row in asked.items()
    }


Around = tuple[Sequence[Any], Sequence[Any], set[int]]
"""(money that waits, open invoices, tenants whom the sender paid for)."""


def _facts(row: Any, around: Around, known: Mapping[tuple[int, Address], Token], currency: Asset) -> Facts:
    waiting, due, paid_for = around
    value = _value(row, known, currency)
    mine = [one for one in due if one.tenant_id == row.tenant_id and row.tenant_id is not None]
    others = [one for one in due if one.tenant_id != row.tenant_id]
    beside = []
    for other in waiting:
        same = other.tenant_id == row.tenant_id if row.tenant_id is not None else other.from_address == row.from_address
        worth = _value(other, known, currency)
        if other.id != row.id and same and worth:
            beside.append(Waiting(other.id, worth))
    unknown = row.tenant_id is None
    return Facts(
        kind=row.kind,
        currency=currency,
        value=value,
        tenant=row.tenant or "",
        tolerance=int(row.tolerance_units or 0),
        own=next((_due(one) for one in mine if one.id == row.invoice_id), None),
        replacement=next((_due(one) for one in mine if one.replaces_id == row.invoice_id), None),
        open=tuple(_due(one) for one in mine),
        senders=tuple(_due(one) for one in others if one.tenant_id in paid_for),
        alike=tuple(_due(one) for one in others if unknown and int(one.remaining) == value)[:ALIKE_MAX],
        waiting=tuple(beside),
    )


@dataclass(frozen=True, slots=True)
class Odd:
    """An overdue invoice that was paid in part, or overpaid credit that nothing has used. `amount` is missing, or left."""

    tenant: str
    invoice: str
    amount: int
    since: datetime
    facts: Facts


_UNDERPAID: Final = """
    SELECT i.number, n.slug AS tenant, n.id AS tenant_id, n.tolerance_units, i.due_at, r.owed AS remaining
      FROM invoice i JOIN tenant n ON n.id = i.tenant_id
      JOIN LATERAL (SELECT sum(p.units) AS owed FROM posting p
                     WHERE p.invoice_id = i.id AND p.account = 'receivable') r ON r.owed BETWEEN 1 AND i.amount_due - 1
     WHERE i.status = 'open' AND i.currency = :currency AND i.due_at < :now ORDER BY i.due_at, i.id LIMIT :most"""

_OVERPAID: Final = """
    SELECT n.slug AS tenant, min(c.created_at) AS since,
           sum(c.units - (SELECT coalesce(sum(u.units), 0) FROM credit_use u WHERE u.credit_id = c.id)) AS units
      FROM tenant_credit c JOIN tenant n ON n.id = c.tenant_id
     WHERE c.kind = 'overpayment' AND c.currency = :currency AND c.reversed_at IS NULL AND c.final_at IS NOT NULL
     GROUP BY n.id HAVING sum(c.units - (SELECT coalesce(sum(u.units), 0) FROM credit_use u WHERE u.credit_id = c.id)) > 0
     ORDER BY 2 LIMIT :most"""


def oddities(session: Session, currency: Asset, now: datetime) -> list[Odd]:
    """What nobody asks about and somebody should see: first what is missing, then what is left over, the oldest first."""
    values = {"currency": currency.code, "now": now, "most": WAITING_MAX}
    known, beside = tokens.known(session), defaultdict[int | None, list[Waiting]](list)
    for row in session.execute(
        text(f"{_MONEY} WHERE e.status = 'open' AND t.id IS NOT NULL ORDER BY e.id LIMIT :most"), {"most": WAITING_MAX}
    ):
        if worth := _value(row, known, currency):
            beside[row.tenant_id].append(Waiting(row.id, worth))
    found = []
    for row in session.execute(text(_UNDERPAID), values):
        waiting, tolerance = tuple(beside[row.tenant_id]), int(row.tolerance_units)
        facts = Facts(UNDERPAID, currency, tenant=row.tenant, tolerance=tolerance, own=_due(row), waiting=waiting)
        found.append(Odd(row.tenant, row.number, int(row.remaining), row.due_at, facts))
    for row in session.execute(text(_OVERPAID), values):
        facts = Facts(OVERPAID, currency, int(row.units), row.tenant)
        found.append(Odd(row.tenant, "", int(row.units), row.since, facts))
    return found


def _due(row: Any) -> Due:
    return Due(row.number, row.tenant, int(row.remaining))


def _value(row: Any, known: Mapping[tuple[int, Address], Token], currency: Asset) -> int | None:
    """At par; None when nobody knows it, 0 when there is no money."""
    if row.chain_id is None:
        return 0
    token = known.get((row.chain_id, row.token_address))
    if row.kind == MatchKind.NO_RATE or token is None or token.currency != currency.code:
        return None
    return value_at_par(int(row.units), token.decimals, currency) or None

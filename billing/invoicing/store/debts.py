"""What tenants owe, invoice by invoice."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.invoicing.standing import Debt
from billing.notices.notice import NoticeType

_DEBT: Final = """
    SELECT i.number, i.currency, i.exponent, i.due_at, i.issued_at, i.pay_token, t.id AS tenant_id, t.slug,
     (SELECT coalesce(sum(p.units), 0) FROM posting p WHERE p.invoice_id = i.id AND p.account = 'receivable')
     + (SELECT coalesce(sum(w.units), 0) FROM write_off w WHERE w.invoice_id = i.id AND w.ended_at IS NULL) AS remaining,
     EXISTS (SELECT FROM payment_address a JOIN transfer t ON t.to_address = a.address
       WHERE a.invoice_id = i.id AND t.state = 'seen') AS is_paying
      FROM invoice i JOIN tenant t ON t.id = i.tenant_id"""


@dataclass(frozen=True, slots=True)
class Coming:
    """A debt, when it was invoiced, and the token of its pay page."""

    debt: Debt
    issued_at: datetime
    pay_token: str


def _debt(row: Any) -> Debt:
    return Debt(row.number, row.currency, row.exponent, row.due_at, int(row.remaining), row.is_paying)


def of_payer(session: Session, tenant_id: int) -> list[Debt]:
    """The open invoices of a tenant that somebody still has to pay, the longest due first."""
    rows = session.execute(
        text(_DEBT + " WHERE i.tenant_id = :tenant AND i.status IN ('open', 'uncollectible') ORDER BY i.due_at, i.id"),
        {"tenant": tenant_id},
    )
    return [_debt(row) for row in rows]


def due_until(session: Session, until: datetime) -> dict[tuple[int, str], list[Coming]]:
    """Open invoices that are due by then, by payer (id, slug)."""
    rows = session.execute(
        text(_DEBT + " WHERE i.status = 'open' AND i.due_at <= :until ORDER BY i.due_at, i.id"), {"until": until}
    )
    found: dict[tuple[int, str], list[Coming]] = {}
    for row in rows:
        found.setdefault((row.tenant_id, row.slug), []).append(Coming(_debt(row), row.issued_at, row.pay_token))
    return found


def payers_overdue(session: Session, now: datetime) -> set[tuple[int, str]]:
    """Who has an open invoice that was due before now."""
    rows = session.execute(
        text(
            "SELECT DISTINCT t.id, t.slug FROM invoice i JOIN tenant t ON t.id = i.tenant_id"
            " WHERE i.status IN ('open', 'uncollectible') AND i.due_at < :now"
        ),
        {"now": now},
    )
    return {(row.id, row.slug) for row in rows}


def told_suspended(session: Session) -> set[tuple[int, str]]:
    """Of whom it was told last that they are suspended."""
    rows = session.execute(
        text(
            "SELECT t.id, t.slug FROM tenant t JOIN LATERAL (SELECT n.type FROM notice n WHERE n.tenant_id = t.id"
            " AND n.type IN (:suspended, :resumed) ORDER BY n.id DESC LIMIT 1) AS last ON last.type = :suspended"
        ),
        {"suspended": NoticeType.TENANT_SUSPENDED.value, "resumed": NoticeType.TENANT_RESUMED.value},
    )
    return {(row.id, row.slug) for row in rows}

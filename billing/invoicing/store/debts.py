"""What tenants owe, invoice by invoice."""

from sqlalchemy import text
from sqlmodel import Session

from billing.invoicing.standing import Debt


def of_payer(session: Session, tenant_id: int) -> list[Debt]:
    """The open invoices of a tenant that somebody still has to pay, the longest due first."""
    rows = session.execute(
        text(
            "SELECT i.number, i.currency, i.exponent, i.due_at,"
            " (SELECT coalesce(sum(p.units), 0) FROM posting p WHERE p.invoice_id = i.id AND p.account = 'receivable')"
            "  AS remaining,"
            " EXISTS (SELECT FROM payment_address a JOIN transfer t ON t.to_address = a.address"
            "   WHERE a.invoice_id = i.id AND t.state = 'seen') AS is_paying"
            " FROM invoice i WHERE i.tenant_id = :tenant AND i.status IN ('open', 'uncollectible') ORDER BY i.due_at, i.id"
        ),
        {"tenant": tenant_id},
    )
    return [Debt(row.number, row.currency, row.exponent, row.due_at, int(row.remaining), row.is_paying) for row in rows]

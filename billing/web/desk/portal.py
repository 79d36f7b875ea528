"""What a tenant sees of its own account."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from billing.core.money import Money
from billing.invoicing import store as invoicing
from billing.invoicing.invoice import Invoice
from billing.invoicing.lifecycle import InvoiceStatus
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.web.deps import Web
from billing.web.desk.shell import Head, page
from billing.web.door import Page, Visitor

router = APIRouter(include_in_schema=False)

TenantVisitor = Annotated[Visitor, Depends(Page(KeyRole.TENANT))]
OPEN_SHOWN: Final = 20


@router.get("/portal")
def overview(web: Web, visitor: TenantVisitor) -> Response:
    """What is owed, at a glance."""
    with web.database.transaction() as session:
        tenant = tenants.by_slug(session, visitor.bearer.tenant)
        wanted = invoicing.Filter(tenant_id=visitor.tenant_id, status=InvoiceStatus.OPEN, limit=OPEN_SHOWN)
        found = invoicing.listed(session, wanted)
    now = web.clock.now()
    owed = _owed(found)
    overdue = sum(1 for one in found if one.due_at < now)
    return page(
        web, visitor, "desk/portal_overview.html", Head("Overview"),
        {"tenant": tenant, "invoices": found, "owed": owed, "overdue": overdue, "now": now},
    )  # fmt: skip


def _owed(found: list[Invoice]) -> Money | None:
    total: Money | None = None
    for one in found:
        left = Money(one.remaining, one.currency)
        total = left if total is None else total + left
    return total

"""An issued invoice, as others see it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import Span
from billing.invoicing.lifecycle import InvoiceStatus
from billing.pricing.rating import LineKind, Metered


@dataclass(frozen=True, slots=True)
class Invoice:
    """Amounts are in the currency's smallest unit. `remaining` is what the payer still owes: what the
    ledger says, and what of it was given up."""

    id: int
    number: str
    tenant: str
    tenant_id: int
    tenant_name: str
    status: InvoiceStatus
    currency: Asset
    period: Span
    total: int
    credits: int
    amount_due: int
    remaining: int
    issued_at: datetime
    due_at: datetime
    digest: Hash32
    address: Address | None
    pay_token: str
    replaces: str | None
    tax: int = 0
    noted: int = 0
    """What credit notes took off it, tax included, while it stands."""
    purchase_order: str = ""

    @property
    def claim(self) -> int:
        """What is asked for: the amount due less credit notes. What they take off beyond it was paid with credit, which is
        held again."""
        return max(0, self.amount_due - self.noted)

    @property
    def paid(self) -> int:
        return 0 if self.status is InvoiceStatus.VOID else self.claim - self.remaining

    def overdue(self, now: datetime) -> bool:
        return self.status is InvoiceStatus.OPEN and now > self.due_at


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line, as it stands in the document. One of a meter, or of a fee, minimum or discount, has no seconds."""

    position: int
    tenant: str
    sku: str
    description: str
    period: Span
    quantity_seconds: int
    unit_price: Decimal
    amount: int
    measured_seconds: int
    excluded: list[tuple[str, int]]
    usage_digest: str
    bridged_seconds: int = 0
    metered: Metered | None = None
    kind: LineKind = LineKind.USAGE

    @property
    def is_time(self) -> bool:
        return self.metered is None and self.kind is LineKind.USAGE

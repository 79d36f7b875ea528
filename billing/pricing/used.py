"""What a period's usage report is made of: one device, of one tenant, at one price. Pure."""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.period import Span


@dataclass(frozen=True, slots=True)
class Used:
    """`tenant` pays for what `customer` used (empty: itself). `seconds` are what is billable now; `charged_seconds`,
    `quantity` and `amount` what was charged so far, voids taken off. `amount` is None while nothing was charged.

    What is charged of a meter, or was rebuilt from a document, has no device. `usage_digest` is of the row's own intervals,
    `charged_digest` the one that the invoice's line states.
    """

    tenant: str
    customer: str
    device: str
    gpu_instance: str
    profile: str
    model: str
    sku: str
    meter: str
    currency: str
    unit_price: Decimal
    span: Span
    seconds: int
    measured_seconds: int
    bridged_seconds: int
    excluded: tuple[tuple[str, int], ...]
    charged_seconds: int
    quantity: Decimal | None
    amount: int | None
    invoices: tuple[str, ...]
    usage_digest: str
    charged_digest: str
    tenant_name: str
    customer_name: str

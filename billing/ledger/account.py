"""The chart of accounts. An account is a name; its dimensions (tenant, invoice) are on the posting."""

from typing import Final

from billing.core.errors import Invalid

RECEIVABLE: Final = "receivable"
CONVERSION: Final = "conversion"
FX: Final = "fx"
ROUNDING: Final = "rounding"
EXTERNAL: Final = "external"
TENANT_CREDIT: Final = "tenant_credit"
TENANT_PREPAID: Final = "tenant_prepaid"
REFUNDS_PAYABLE: Final = "refunds_payable"
SUSPENSE: Final = "suspense"
WRITE_OFF: Final = "write_off"
GAS: Final = "gas"
TAX: Final = "tax"
OWNER_PAYABLE: Final = "owner_payable"
OWNER_SHARE: Final = "owner_share"
PROMOTION: Final = "promotion"

_PLAIN: Final = {
    RECEIVABLE, CONVERSION, FX, ROUNDING, EXTERNAL, TENANT_CREDIT, TENANT_PREPAID, REFUNDS_PAYABLE, SUSPENSE, WRITE_OFF,
    GAS, TAX, OWNER_SHARE, PROMOTION,
}  # fmt: skip
_PARTS: Final = {"revenue": 2, "deposit": 3, "treasury": 3, "held": 2, OWNER_PAYABLE: 2}


def revenue(sku: str) -> str:
    return f"revenue:{sku}"


def deposit(chain_id: int, token: str) -> str:
    """What lies on payment addresses."""
    return f"deposit:{chain_id}:{token}"


def treasury(chain_id: int, token: str) -> str:
    return f"treasury:{chain_id}:{token}"


def held(chain_id: int) -> str:
    """Money of senders that compliance stopped."""
    return f"held:{chain_id}"


def owner_payable(owner: str) -> str:
    """What an owner of GPUs is owed."""
    return f"{OWNER_PAYABLE}:{owner}"


def check(account: str) -> str:
    """The account, if the chart has it. Raises Invalid: a mistyped account must not open itself."""
    parts = account.split(":")
    if account in _PLAIN or (len(parts) == _PARTS.get(parts[0], 0) and all(parts)):
        return account
    raise Invalid(f"the chart of accounts has no {account!r}")

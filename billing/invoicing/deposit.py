"""A tenant's deposit address, and the document that makes it. Pure. It is permanent: it changes only when somebody wants new
terms, and whatever comes to an old one counts by the old one's terms."""

from dataclasses import dataclass
from datetime import datetime

from billing.core.money import Asset
from billing.core.onchain import Address, Hash32
from billing.core.period import rfc3339
from billing.invoicing.compose import Header
from billing.invoicing.document import DEPOSIT_TYPE, Currency, DepositDocument, Party
from billing.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Deposit:
    """A deposit address that was given out. `replaces` is the number of the one before it."""

    id: int
    number: str
    tenant: str
    tenant_id: int
    currency: Asset
    issued_at: datetime
    digest: Hash32
    address: Address
    generation_id: int
    document: DepositDocument
    content: bytes
    replaces: str | None


def deposit_series(series: str) -> str:
    """Deposit documents count in a series of their own."""
    return f"{series}-DEP"


def document(tenant: Tenant, currency: Asset, header: Header) -> DepositDocument:
    assert header.wallet is not None
    return DepositDocument(
        type=DEPOSIT_TYPE,
        issuer=header.issuer,
        tenant=Party(id=tenant.slug, name=tenant.legal_name or tenant.name),
        number=header.number,
        nonce=header.nonce,
        currency=Currency(code=currency.code, exponent=currency.exponent),
        issued_at=rfc3339(header.issued_at),
        replaces=header.replaces,
        wallet=header.wallet,
        settlement=header.settlement,
    )


def outdated(live: DepositDocument, settlement: object, issuer: Party) -> list[str]:
    """In what a document differs from what would be written today."""
    found = {"who issues": live.issuer != issuer, "what it accepts, and by which rules": live.settlement != settlement}
    return [what for what, differs in found.items() if differs]

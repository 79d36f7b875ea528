"""Gives promotional credit: money that nobody paid. It is used before all other credit."""

import secrets
from dataclasses import dataclass
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.money import Money, parse_units
from billing.db.engine import Database
from billing.invoicing import postings
from billing.invoicing.store import credit
from billing.invoicing.store.credit import Grant
from billing.ledger import store as ledger
from billing.pricing import store as pricing
from billing.tenants import store as tenants
from billing.trail.store import Deed, record

UNITS_MAX: Final = 10**15
REFERENCE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Gift:
    """`amount` is decimal text in the currency of the prices. `reference` names it on invoices, once for each tenant; left
    out, one is made up."""

    tenant: str
    amount: str
    reason: str
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise Invalid("giving credit needs a reason", remedy="--reason '...'")
        if len(self.reference) > REFERENCE_MAX or not self.reference.isprintable():
            raise Invalid(f"a reference is printable text of at most {REFERENCE_MAX} characters", remedy="--reference")


@dataclass(frozen=True, slots=True)
class Given:
    amount: Money
    reference: str


class Granter:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def grant(self, gift: Gift, *, actor: str) -> Given:
        """Raises Invalid for an amount that is none, Conflict when the reference was used, or a reseller pays."""
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = tenants.by_slug(session, gift.tenant)
            if tenant.reseller:
                raise Conflict(
                    f"{tenant.slug} is billed through {tenant.reseller}", remedy=f"give it to {tenant.reseller}"
                )
            amount = parse_units(gift.amount, pricing.currency(session))
            if not 0 < amount.units <= UNITS_MAX:
                raise Invalid(f"{gift.amount} is no amount that can be given", remedy="more than zero")
            reference = gift.reference.strip() or f"grant-{secrets.token_hex(4)}"
            grant = Grant(tenant.id, "promotional", amount.asset.code, amount.units, reference, final=True)
            credit.give(session, grant, now)
            ledger.post(session, postings.grant(amount, tenant.id, reference, now))
            details = {"amount": str(amount), "reference": reference}
            record(session, Deed(now, actor, "credit.grant", f"tenant {tenant.slug}", gift.reason, details))
        return Given(amount, reference)

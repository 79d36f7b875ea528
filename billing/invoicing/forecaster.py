"""Says how long a tenant's credit lasts: what it holds, what it used and was not invoiced for, and how fast it uses more."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.events.meter import Meter
from billing.invoicing import runway
from billing.invoicing.drafter import Drafter
from billing.invoicing.runway import RATE_DAYS, RATE_DAYS_MAX, Runway
from billing.invoicing.store import prepaid
from billing.pricing import store as pricing
from billing.pricing.rater import worth
from billing.tenants import store as tenants
from billing.tenants.tenant import Tenant


class Forecaster:
    def __init__(self, database: Database, clock: Clock, drafter: Drafter, meters: Sequence[Meter] = ()) -> None:
        self._database, self._clock, self._drafter, self._meters = database, clock, drafter, meters

    def forecast(self, slug: str, days: int = RATE_DAYS) -> Runway:
        with self._database.transaction() as session:
            return self.within(session, slug, days)

    def within(self, session: Session, slug: str, days: int = RATE_DAYS) -> Runway:
        """As `forecast`, in a transaction. Raises Conflict for who does not pay for itself, and while something it used has no
        price."""
        if not 0 < days <= RATE_DAYS_MAX:
            raise Invalid(f"the rate is taken over 1 to {RATE_DAYS_MAX} days")
        payer, now = tenants.by_slug(session, slug), self._clock.now()
        if payer.reseller:
            raise Conflict(f"{slug} is billed through {payer.reseller}", remedy=f"ask for {payer.reseller}")
        currency = pricing.currency(session)
        held, pending = prepaid.holding(session, payer.id, currency.code)
        accrued = self._accrued(session, payer, now)
        return Runway(currency, held, pending, accrued, self._per_day(session, payer, now, days), now)

    def _accrued(self, session: Session, payer: Tenant, now: datetime) -> int:
        """What the open periods come to, as they would be drafted now. What earlier invoices lack is on the first of them;
        fees and minimums of a period that still runs are not owed yet."""
        total = 0
        for position, period in enumerate(prepaid.open_periods(session, payer.id, now)):
            for draft in self._drafter.draft(session, period, payer.slug, final=period.end <= now).drafts:
                total += sum(line.rated.amount for line in draft.lines if position == 0 or line.adjusts is None)
        return total

    def _per_day(self, session: Session, payer: Tenant, now: datetime, days: int) -> int:
        """From the first use in the window on: who began yesterday has used for a day, not for a week."""
        window = Span(now - timedelta(days=days), now)
        used = prepaid.used_within(session, payer.id, window)
        consumers = [one.id for one in tenants.listed(session) if payer.slug in (one.slug, one.reseller)]
        amount = sum(worth(session, window, consumers, self._meters).values())
        span = used or window
        return runway.per_day(amount, int((span.end - span.start).total_seconds()))

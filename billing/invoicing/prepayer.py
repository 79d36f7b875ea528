"""Keeps an eye on tenants that pay before they use: agrees terms, notes how full they are, and tells each crossing once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.db.engine import Database, Session
from billing.invoicing import told
from billing.invoicing.forecaster import Forecaster
from billing.invoicing.runway import Level, Terms, level
from billing.invoicing.store import prepaid
from billing.notices import store as notices
from billing.notices.notice import NoticeType
from billing.tenants import store as tenants
from billing.trail.store import Deed, record

NOTICES: dict[Level, NoticeType] = {Level.LOW: NoticeType.CREDIT_LOW, Level.EXHAUSTED: NoticeType.CREDIT_EXHAUSTED}


@dataclass(slots=True)
class Looked:
    """What a tick did, by tenant. `failed` says why a tenant's figure stayed as it was."""

    low: list[str] = field(default_factory=list)
    exhausted: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Prepayer:
    def __init__(
        self, database: Database, clock: Clock, forecaster: Forecaster, fence: Callable[[Session], None]
    ) -> None:
        """`fence` is called in the transactions of ticks and raises when this process may not do so any more."""
        self._database, self._clock, self._forecaster, self._fence = database, clock, forecaster, fence

    def agree(self, slug: str, terms: Terms | None, *, reason: str, actor: str) -> None:
        """Let a tenant pay before it uses, by these terms; None: after it used, as everybody."""
        if not reason.strip():
            raise Invalid("other terms need a reason", remedy="--reason '...'")
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = tenants.by_slug(session, slug)
            if tenant.reseller:
                raise Conflict(f"{slug} is billed through {tenant.reseller}", remedy=f"agree it with {tenant.reseller}")
            prepaid.set_terms(session, tenant.id, terms, now)
            record(session, Deed(now, actor, "tenant.prepaid", f"tenant {slug}", reason, _details(terms)))
            if terms is not None:
                self._try(session, (tenant.id, slug), now, Looked())

    def tick(self) -> Looked:
        """Look at every prepaid tenant, each in a transaction of its own: one that cannot be rated holds nobody up."""
        done = Looked()
        with self._database.transaction() as session:
            payers = prepaid.everybody(session)
        for payer in payers:
            with self._database.transaction() as session:
                self._fence(session)
                self._try(session, payer, self._clock.now(), done)
        return done

    def _try(self, session: Session, payer: tuple[int, str], now: datetime, done: Looked) -> None:
        try:
            self._look(session, payer, now, done)
        except (Conflict, NotFound) as error:
            done.failed[payer[1]] = str(error)

    def _look(self, session: Session, payer: tuple[int, str], now: datetime, done: Looked) -> None:
        terms = prepaid.terms_of(session, payer[0])
        if terms is None:
            return
        found, before = self._forecaster.within(session, payer[1]), prepaid.noted(session, payer[0])
        was = before.level if before else Level.GOOD
        is_now = level(found, terms, was)
        prepaid.note(session, payer[0], found, is_now)
        if is_now is was or is_now not in NOTICES or (was is Level.EXHAUSTED and is_now is Level.LOW):
            return
        notices.tell(session, told.credit(NOTICES[is_now], found, payer, terms), now)
        (done.low if is_now is Level.LOW else done.exhausted).append(payer[1])


def _details(terms: Terms | None) -> dict[str, object]:
    if terms is None:
        return {"prepaid": False}
    return {
        "prepaid": True,
        "low_units": None if terms.low_units is None else str(terms.low_units),
        "low_days": terms.low_days,
        "suspend_at_zero": terms.suspend_at_zero,
    }

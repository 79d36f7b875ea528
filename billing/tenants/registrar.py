"""Registers tenants, their labels and their API keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.period import EPOCH, rfc3339
from billing.db import changes
from billing.db.engine import Database, Session
from billing.tenants import store
from billing.tenants.cycle import Cycle
from billing.tenants.keys import KEYS_MAX, Bearer, KeyRole, digest_of, new_key
from billing.tenants.tax import TaxRule, TaxTerm
from billing.tenants.tenant import EXCLUDE_GAPS, GapRule, Tenant
from billing.trail.store import Deed, record

ClosedFor = Callable[[Session, int], datetime | None]
"""Until when a tenant's time was invoiced. Invoicing knows; bootstrap wires it."""


def nothing_closed(session: Session, tenant_id: int) -> datetime | None:
    """For who only registers: nothing was invoiced yet."""


@dataclass(frozen=True, slots=True)
class GapChange:
    """A tenant's new gap rule. Without `since` it holds from the first moment that was not invoiced yet."""

    rule: GapRule
    since: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaxChange:
    """A tenant's new tax rule. Without `since` it holds from the first moment that was not invoiced yet."""

    rule: TaxRule
    since: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """What a tenant's invoices say of it from now on; what is None stays as it is."""

    address: str | None = None
    tax_id: str | None = None
    purchase_order: str | None = None
    reason: str = ""


class Registrar:
    def __init__(self, database: Database, clock: Clock, closed_for: ClosedFor = nothing_closed) -> None:
        self._database, self._clock, self._closed_for = database, clock, closed_for

    def add(
        self,
        tenant: Tenant,
        labels: Sequence[str],
        *,
        since: datetime | None = None,
        gap: GapRule = EXCLUDE_GAPS,
        actor: str,
    ) -> Tenant:
        """Add a tenant. A label is `label` or `source:label`; it counts from `since` (left out: from the start of time)."""
        now = self._clock.now()
        with self._database.transaction() as session:
            added = store.add(session, tenant, now)
            changes.note_subject(session, tenant.slug, now)
            for label in labels:
                source, _, name = label.rpartition(":")
                changes.note_subject(session, name, now)
                store.claim(
                    session, added, source=source, label=name, since=since or datetime.fromtimestamp(0, now.tzinfo)
                )
            if gap != EXCLUDE_GAPS:
                store.set_gap(session, added.id, gap, EPOCH, now)
            details = {"labels": list(labels), "gaps": str(gap)}
            record(session, Deed(now, actor, "tenant.add", f"tenant {tenant.slug}", details=details))
        return added

    def set_gap(self, slug: str, change: GapChange, *, actor: str) -> datetime:
        """Give a tenant another gap rule, and answer from when on it holds.

        Only open time is derived again. Raises Conflict when the rule would reach back into invoiced time.
        """
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = store.by_slug(session, slug)
            closed = self._closed_for(session, tenant.id) or EPOCH
            since = change.since or closed
            if since < closed:
                raise Conflict(
                    f"{slug} was invoiced until {rfc3339(closed)}", remedy=f"--from {rfc3339(closed)}, or leave it out"
                )
            store.set_gap(session, tenant.id, change.rule, since, now)
            details = {"gaps": str(change.rule), "since": rfc3339(since)}
            record(session, Deed(now, actor, "tenant.gap", f"tenant {slug}", change.reason, details))
        return since

    def set_cycle(self, slug: str, cycle: Cycle, *, reason: str, actor: str) -> None:
        """Invoice a payer in other periods. What was invoiced stays as it is: the next period begins where that ended."""
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = store.by_slug(session, slug)
            if tenant.reseller:
                raise Invalid(f"{slug} is not invoiced itself", remedy=f"set the cycle of {tenant.reseller}")
            store.set_cycle(session, tenant.id, cycle)
            details = {"cycle": str(cycle), "threshold": cycle.threshold}
            record(session, Deed(now, actor, "tenant.cycle", f"tenant {slug}", reason, details))

    def set_tax(self, slug: str, change: TaxChange, *, actor: str) -> datetime:
        """Tax a tenant in another way, and answer from when on. An invoice bears the rule that is in force when its period
        ends; what was issued does not change."""
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = store.by_slug(session, slug)
            since = change.since or self._closed_for(session, tenant.id) or EPOCH
            store.set_tax(session, tenant.id, TaxTerm(change.rule, since), now)
            details = {"tax": str(change.rule), "since": rfc3339(since)}
            record(session, Deed(now, actor, "tenant.tax", f"tenant {slug}", change.reason, details))
        return since

    def set_details(self, slug: str, given: Details, *, actor: str) -> Tenant:
        """Change what a tenant's next invoices say of it."""
        now = self._clock.now()
        fields = ("address", "tax_id", "purchase_order")
        said = {name: value for name in fields if (value := getattr(given, name)) is not None}
        with self._database.transaction() as session:
            tenant = replace(store.by_slug(session, slug), **said)
            store.set_details(session, tenant)
            record(session, Deed(now, actor, "tenant.details", f"tenant {slug}", given.reason, said))
        return tenant

    def label(self, slug: str, labels: Sequence[str], *, since: datetime | None, actor: str) -> None:
        """Let more labels mean a tenant, as in `add`. All of them, or none."""
        now = self._clock.now()
        with self._database.transaction() as session:
            tenant = store.by_slug(session, slug)
            for label in labels:
                source, _, name = label.rpartition(":")
                changes.note_subject(session, name, now)
                store.claim(session, tenant, source=source, label=name, since=since or EPOCH)
            record(session, Deed(now, actor, "tenant.label", f"tenant {slug}", details={"labels": list(labels)}))

    def create_key(self, *, name: str, role: KeyRole, tenant: str = "", owner: str = "", actor: str) -> str:
        """Make a key and return it in plain, for the only time."""
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise Invalid("an API key needs a printable name of 1 to 100 characters")
        now, key = self._clock.now(), new_key()
        with self._database.transaction() as session:
            tenant_id = store.by_slug(session, tenant).id if tenant else None
            if tenant_id is not None and store.keys_in_force(session, tenant_id) >= KEYS_MAX:
                raise Conflict(f"{tenant} has {KEYS_MAX} API keys already", remedy="revoke one that is not used")
            owner_id = store.owner_id(session, owner) if owner else None
            store.add_key(session, key, Bearer(name, role, tenant, tenant_id, owner, owner_id), now)
            record(session, Deed(now, actor, "apikey.create", f"apikey {key.prefix}", details={"role": role}))
        return key.plain

    def revoke_key(self, prefix: str, *, tenant_id: int | None = None, actor: str) -> None:
        """Raises NotFound; with `tenant_id` also for a key that is not this tenant's."""
        now = self._clock.now()
        with self._database.transaction() as session:
            store.revoke_key(session, prefix, now, tenant_id)
            record(session, Deed(now, actor, "apikey.revoke", f"apikey {prefix}"))

    def authenticate(self, plain: str) -> Bearer | None:
        """Who holds this key; None when nobody does."""
        with self._database.transaction() as session:
            return store.bearer(session, digest_of(plain), self._clock.now())

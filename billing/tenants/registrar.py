"""Registers tenants, their labels and their API keys."""

from collections.abc import Sequence
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.db.engine import Database
from billing.tenants import store
from billing.tenants.keys import Bearer, KeyRole, digest_of, new_key
from billing.tenants.tenant import Tenant
from billing.trail.store import Deed, record


class Registrar:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def add(self, tenant: Tenant, labels: Sequence[str], *, since: datetime | None = None, actor: str) -> Tenant:
        """Add a tenant. A label is `label` or `source:label`; it counts from `since` (left out: from the start of time)."""
        now = self._clock.now()
        with self._database.transaction() as session:
            added = store.add(session, tenant, now)
            for label in labels:
                source, _, name = label.rpartition(":")
                store.claim(
                    session, added, source=source, label=name, since=since or datetime.fromtimestamp(0, now.tzinfo)
                )
            record(session, Deed(now, actor, "tenant.add", f"tenant {tenant.slug}", details={"labels": list(labels)}))
        return added

    def create_key(self, *, name: str, role: KeyRole, tenant: str, actor: str) -> str:
        """Make a key and return it in plain, for the only time."""
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise Invalid("an API key needs a printable name of 1 to 100 characters")
        now, key = self._clock.now(), new_key()
        with self._database.transaction() as session:
            tenant_id = store.by_slug(session, tenant).id if tenant else None
            store.add_key(session, key, name=name, role=role, tenant_id=tenant_id, now=now)
            record(session, Deed(now, actor, "apikey.create", f"apikey {key.prefix}", details={"role": role}))
        return key.plain

    def revoke_key(self, prefix: str, *, actor: str) -> None:
        now = self._clock.now()
        with self._database.transaction() as session:
            store.revoke_key(session, prefix, now)
            record(session, Deed(now, actor, "apikey.revoke", f"apikey {prefix}"))

    def authenticate(self, plain: str) -> Bearer | None:
        """Who holds this key; None when nobody does."""
        with self._database.transaction() as session:
            return store.bearer(session, digest_of(plain), self._clock.now())

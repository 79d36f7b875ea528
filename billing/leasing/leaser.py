"""Lets GPUs to tenants, and ends leases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.core.period import Span
from billing.db.engine import Database
from billing.fleet import store as fleet
from billing.leasing import store
from billing.leasing.lease import Lease
from billing.tenants import store as tenants
from billing.trail.store import Deed, record

REFERENCE_MAX: Final = 200


class Leaser:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def add(
        self,
        tenant: str,
        span: Span,
        *,
        hosts: Sequence[str] = (),
        uuids: Sequence[str] = (),
        reference: str = "",
        actor: str,
    ) -> list[Lease]:
        """Let all GPUs of some hosts, and some by UUID, to a tenant. All of them, or none.

        Raises NotFound for an unknown tenant, host or GPU; Conflict when one is let to somebody during the span.
        """
        if not hosts and not uuids:
            raise Invalid("a lease needs a host or a GPU")
        if len(reference) > REFERENCE_MAX or not reference.isprintable():
            raise Invalid(
                f"a lease's reference is at most {REFERENCE_MAX} printable characters", remedy="mend --reference"
            )
        now = self._clock.now()
        with self._database.transaction() as session:
            holder = tenants.by_slug(session, tenant)
            gpu_ids = fleet.gpu_ids(session, hosts=hosts, uuids=uuids)
            name = reference or f"{tenant}-{now:%Y%m%d-%H%M%S}-{gpu_ids[0]}"
            store.add(session, name, holder.id, gpu_ids, span, now)
            fleet.serve_since(session, gpu_ids, span)
            details = {
                "tenant": tenant,
                "gpus": len(gpu_ids),
                "from": span.start.isoformat(),
                "to": span.end.isoformat(),
            }
            record(session, Deed(now, actor, "lease.add", f"lease {name}", details=details))
            return store.listed(session, reference=name)

    def end(self, reference: str, at: datetime, *, actor: str, reason: str = "") -> list[Lease]:
        """End a lease at a time; usage after it is derived again."""
        now = self._clock.now()
        with self._database.transaction() as session:
            leases = store.end(session, reference, at)
            details = {"at": at.isoformat()}
            record(session, Deed(now, actor, "lease.end", f"lease {reference}", reason, details))
            return leases

"""Lets GPUs to tenants, and ends leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.compliance.register import NO_RULES, Party, Rules
from billing.compliance.registrar import Gate
from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.fleet import store as fleet
from billing.leasing import store
from billing.leasing.lease import Lease
from billing.tenants import store as tenants
from billing.tenants.tenant import Tenant
from billing.trail.store import Deed, record

REFERENCE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """A contract to be made: all GPUs of some hosts, and some by UUID. Without a `reference` one is made up."""

    tenant: str
    span: Span
    hosts: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    reference: str = ""


def let(session: Session, wanted: Wanted, now: datetime, actor: str, gate: Gate) -> list[Lease]:
    """Make a contract inside a transaction. Raises what `Leaser.add` raises, before anything is written."""
    if not wanted.hosts and not wanted.uuids:
        raise Invalid("a lease needs a host or a GPU")
    if len(wanted.reference) > REFERENCE_MAX or not wanted.reference.isprintable():
        raise Invalid(f"a lease's reference is at most {REFERENCE_MAX} printable characters", remedy="mend --reference")
    holder = tenants.by_slug(session, wanted.tenant)
    gpu_ids = fleet.gpu_ids(session, hosts=wanted.hosts, uuids=wanted.uuids)
    if gate.rules.on:
        models = {one.model for one in fleet.devices(session, gpu_ids=gpu_ids)}
        gate.admit(session, party(session, holder), models, wanted.span)
    name = wanted.reference or f"{wanted.tenant}-{now:%Y%m%d-%H%M%S}-{gpu_ids[0]}"
    store.add(session, name, holder.id, gpu_ids, wanted.span, now)
    fleet.serve_since(session, gpu_ids, wanted.span)
    details = {
        "tenant": wanted.tenant,
        "gpus": len(gpu_ids),
        "from": wanted.span.start.isoformat(),
        "to": wanted.span.end.isoformat(),
    }
    record(session, Deed(now, actor, "lease.add", f"lease {name}", details=details))
    return store.listed(session, reference=name)


def party(session: Session, holder: Tenant) -> Party:
    """Who would hold the GPUs, as rules see it."""
    return party_of(holder, tenants.by_slug(session, holder.reseller) if holder.reseller else None)


def party_of(holder: Tenant, reseller: Tenant | None) -> Party:
    between = Party(reseller.id, reseller.slug, reseller.country) if reseller is not None else None
    return Party(holder.id, holder.slug, holder.country, between)


class Leaser:
    def __init__(self, database: Database, clock: Clock, rules: Rules = NO_RULES) -> None:
        """`rules` say who may hold what."""
        self._database, self._clock, self._gate = database, clock, Gate(rules, clock)

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

        Raises NotFound for an unknown tenant, host or GPU; Conflict when one is let to somebody during the span, or a rule
        does not let this tenant hold it.
        """
        wanted = Wanted(tenant, span, tuple(hosts), tuple(uuids), reference)
        with self._database.transaction() as session:
            return let(session, wanted, self._clock.now(), actor, self._gate)

    def end(self, reference: str, at: datetime, *, actor: str, reason: str = "") -> list[Lease]:
        """End a lease at a time; usage after it is derived again."""
        now = self._clock.now()
        with self._database.transaction() as session:
            leases = store.end(session, reference, at)
            details = {"at": at.isoformat()}
            record(session, Deed(now, actor, "lease.end", f"lease {reference}", reason, details))
            return leases

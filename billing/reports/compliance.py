"""Who used which controlled GPU when, and whether it was allowed, by what was known then."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from billing.compliance.register import UNKNOWN, Control, Known, Rules, judged, pieces
from billing.compliance.store import known as store
from billing.compliance.store.known import Use
from billing.core.period import Span
from billing.db.engine import Session
from billing.leasing.leaser import party_of
from billing.reports.table import Column, Kind
from billing.tenants import store as tenants
from billing.tenants.tenant import Tenant

COLUMNS: Final = (
    Column("control"),
    Column("model"),
    Column("gpu"),
    Column("profile"),
    Column("host"),
    Column("tenant"),
    Column("legal_name"),
    Column("country"),
    Column("reseller"),
    Column("reseller_country"),
    Column("basis"),
    Column("lease"),
    Column("from", Kind.TIME),
    Column("until", Kind.TIME),
    Column("seconds", Kind.WHOLE),
    Column("kyc"),
    Column("attestation"),
    Column("attestation_expires"),
    Column("allowed"),
    Column("against"),
)


def rows(session: Session, rules: Rules, period: Span, now: datetime) -> Iterator[Sequence[object]]:
    """One row for each control, GPU, holder and stretch in which one answer holds. What has not happened yet is not in it."""
    models = {model for control in rules.controls for model in control.models}
    if not models or period.start >= now:
        return
    people = tenants.by_id(session)
    by_slug = {one.slug: one for one in people.values()}
    known = store.known(session, list(people))
    for use in store.uses(session, models, Span(period.start, min(period.end, now))):
        holder = people[use.tenant_id]
        reseller = by_slug.get(holder.reseller)
        chain = [known.get(one.id, UNKNOWN) for one in (holder, reseller) if one is not None]
        for control in rules.of(use.model):
            for span in pieces(use.span, chain):
                yield _row(use, control, (holder, reseller), chain, span)


def _row(
    use: Use, control: Control, who: tuple[Tenant, Tenant | None], known: Sequence[Known], span: Span
) -> Sequence[object]:
    holder, reseller = who
    start, end = span.seconds
    attestation = known[0].attested(control.attestation, span.start) if control.attestation else None
    against = judged(control, party_of(holder, reseller), known, use.model, span.start)
    return (
        control.name,
        use.model,
        use.uuid,
        use.profile,
        use.host,
        holder.slug,
        holder.legal_name,
        holder.country,
        holder.reseller,
        reseller.country if reseller is not None else "",
        "lease" if use.lease else "observed",
        use.lease,
        span.start,
        span.end,
        end - start,
        known[0].as_of(span.start).status.value,
        f"{attestation.kind} {attestation.reference}" if attestation is not None else "",
        attestation.expires_on.isoformat() if attestation is not None else "",
        "no" if against else "yes",
        "; ".join(against),
    )

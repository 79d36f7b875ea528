"""Rows of tenants, claims and API keys."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import FOREVER, Span, epoch_seconds
from billing.db.tables.owners import OwnerRow
from billing.db.tables.tenants import ApiKeyRow, BillingCycleRow, ClaimRow, GapTermRow, TaxTermRow, TenantRow
from billing.tenants.cycle import Cycle, Every
from billing.tenants.keys import Bearer, KeyRole, NewKey
from billing.tenants.tax import TaxKind, TaxRule, TaxTerm
from billing.tenants.tenant import EXCLUDE_GAPS, Attribution, Claim, GapPolicy, GapRule, GapTerm, Tenant


def add(session: Session, tenant: Tenant, now: datetime) -> Tenant:
    """Raises Conflict when the slug is taken, NotFound when the reseller is unknown."""
    if session.exec(select(TenantRow.id).where(TenantRow.slug == tenant.slug)).first() is not None:
        raise Conflict(f"tenant {tenant.slug} exists already")
    reseller = by_slug(session, tenant.reseller) if tenant.reseller else None
    if reseller is not None and reseller.reseller:
        raise Invalid(f"{reseller.slug} buys through a reseller itself", remedy="resellers are one level deep")
    row = TenantRow(
        slug=tenant.slug,
        name=tenant.name,
        legal_name=tenant.legal_name,
        country=tenant.country,
        email=tenant.email,
        attribution=tenant.attribution,
        reseller_id=reseller.id if reseller else None,
        tolerance_units=tenant.tolerance_units,
        terms_days=tenant.terms_days,
        created_at=now,
        address=tenant.address,
        tax_id=tenant.tax_id,
        purchase_order=tenant.purchase_order,
    )
    session.add(row)
    session.flush()
    return by_slug(session, tenant.slug)


def by_slug(session: Session, slug: str) -> Tenant:
    """Raises NotFound."""
    row = session.exec(select(TenantRow).where(TenantRow.slug == slug)).first()
    if row is None:
        raise NotFound(f"there is no tenant {slug}", remedy="see: stablemeter tenant list")
    return _tenant(row, _slugs(session))


def payer_of(session: Session, slug: str) -> tuple[int, str]:
    """(id, slug) of who pays for a tenant: its reseller, or itself. Raises NotFound."""
    row = session.exec(select(TenantRow).where(TenantRow.slug == slug)).first()
    if row is None:
        raise NotFound(f"there is no tenant {slug}", remedy="see: stablemeter tenant list")
    payer = row if row.reseller_id is None else session.get_one(TenantRow, row.reseller_id)
    assert payer.id is not None
    return payer.id, payer.slug


def listed(session: Session) -> list[Tenant]:
    """All tenants, by slug."""
    slugs = _slugs(session)
    return [_tenant(row, slugs) for row in session.exec(select(TenantRow).order_by(TenantRow.slug))]


def by_id(session: Session, payers: Collection[int] | None = None) -> dict[int, Tenant]:
    """All tenants; or some payers, with those that they pay for."""
    if payers is None:
        return {tenant.id: tenant for tenant in listed(session)}
    wanted = or_(col(TenantRow.id).in_(payers), col(TenantRow.reseller_id).in_(payers))
    found = session.exec(select(TenantRow).where(wanted).order_by(TenantRow.slug)).all()
    slugs = _slugs(session, [row.reseller_id for row in found if row.reseller_id is not None])
    return {row.id or 0: _tenant(row, slugs) for row in found}


def resellers(session: Session, ids: Collection[int] | None = None) -> dict[int, int | None]:
    """The reseller of each of some tenants, or of all; None for who pays itself."""
    query = select(col(TenantRow.id), col(TenantRow.reseller_id))
    rows = session.exec(query if ids is None else query.where(col(TenantRow.id).in_(ids)))
    return {row_id: reseller_id for row_id, reseller_id in rows if row_id is not None}


def _slugs(session: Session, ids: Sequence[int] | None = None) -> dict[int, str]:
    query = select(col(TenantRow.id), col(TenantRow.slug))
    rows = session.exec(query if ids is None else query.where(col(TenantRow.id).in_(ids)))
    return {row_id: slug for row_id, slug in rows if row_id is not None}


def _tenant(row: TenantRow, slugs: dict[int, str]) -> Tenant:
    assert row.id is not None
    return Tenant(
        slug=row.slug,
        name=row.name,
        attribution=Attribution(row.attribution),
        legal_name=row.legal_name,
        country=row.country,
        email=row.email,
        reseller=slugs[row.reseller_id] if row.reseller_id is not None else "",
        tolerance_units=row.tolerance_units,
        terms_days=row.terms_days,
        id=row.id,
        address=row.address,
        tax_id=row.tax_id,
        purchase_order=row.purchase_order,
    )


def cycles(session: Session) -> dict[int, Cycle]:
    """The cycles of the tenants that have one of their own; all others are invoiced by calendar months in UTC."""
    rows = session.exec(select(BillingCycleRow))
    return {row.tenant_id: Cycle(Every(row.every), row.anchor, row.timezone, row.threshold) for row in rows}


def set_cycle(session: Session, tenant_id: int, cycle: Cycle) -> None:
    session.merge(
        BillingCycleRow(
            tenant_id=tenant_id,
            every=cycle.every.value,
            anchor=cycle.anchor,
            timezone=cycle.timezone,
            threshold=cycle.threshold,
        )
    )
    session.flush()


def claim(session: Session, tenant: Tenant, *, source: str, label: str, since: datetime) -> None:
    """From `since` on the label means this tenant. Raises Conflict when it means another one already."""
    if not label or len(label) > 253:
        raise Invalid("a label is 1 to 253 characters")
    taken = session.exec(
        select(ClaimRow).where(
            ClaimRow.label == label, ClaimRow.source == source, col(ClaimRow.during).op("&&")(Span(since, FOREVER))
        )
    ).first()
    if taken is not None:
        raise Conflict(
            f"label {label} means another tenant already"
            if taken.tenant_id != tenant.id
            else f"label {label} is set already"
        )
    session.add(ClaimRow(tenant_id=tenant.id, source=source, label=label, during=Span(since, FOREVER)))
    session.flush()


def claims(session: Session) -> list[Claim]:
    return [Claim(r.tenant_id, r.source, r.label, r.during.seconds) for r in session.exec(select(ClaimRow))]


def labels_of(session: Session, tenant_id: int) -> list[str]:
    rows = session.exec(select(ClaimRow).where(ClaimRow.tenant_id == tenant_id).order_by(ClaimRow.label))
    return [f"{row.source}:{row.label}" if row.source else row.label for row in rows]


def underived_claims(session: Session) -> list[tuple[int, Span]]:
    """(claim, span) of the claims that usage does not reflect yet."""
    rows = session.exec(select(ClaimRow).where(col(ClaimRow.derived_at).is_(None)).order_by(col(ClaimRow.id)))
    return [(row.id or 0, row.during) for row in rows]


def mark_claims_derived(session: Session, claims: Sequence[int], now: datetime) -> None:
    """Usage reflects these claims, and no others: somebody may have added one meanwhile."""
    for row in session.exec(select(ClaimRow).where(col(ClaimRow.id).in_(claims))):
        row.derived_at = now
        session.add(row)


def set_gap(session: Session, tenant_id: int, rule: GapRule, since: datetime, now: datetime) -> None:
    session.add(
        GapTermRow(tenant_id=tenant_id, policy=rule.policy, limit_seconds=rule.limit_seconds, since=since, set_at=now)
    )
    session.flush()


def gap_terms(session: Session) -> list[GapTerm]:
    """All terms, in the order in which they were set. A tenant without any has the rule `exclude`."""
    rows = session.exec(select(GapTermRow).order_by(col(GapTermRow.id)))
    return [GapTerm(r.tenant_id, GapRule(GapPolicy(r.policy), r.limit_seconds), epoch_seconds(r.since)) for r in rows]


def gap_of(session: Session, tenant_id: int, at: datetime) -> GapRule:
    """The rule that is in force at a time."""
    second = epoch_seconds(at)
    found = [one.rule for one in gap_terms(session) if one.tenant_id == tenant_id and one.since <= second]
    return found[-1] if found else EXCLUDE_GAPS


def set_details(session: Session, tenant: Tenant) -> None:
    """Keep what a tenant's invoices say of it: address, tax number, purchase order."""
    row = session.exec(select(TenantRow).where(TenantRow.id == tenant.id).with_for_update()).one()
    row.address, row.tax_id, row.purchase_order = tenant.address, tenant.tax_id, tenant.purchase_order
    session.add(row)
    session.flush()


def set_tax(session: Session, tenant_id: int, term: TaxTerm, now: datetime) -> None:
    rule = term.rule
    row = TaxTermRow(tenant_id=tenant_id, kind=rule.kind, name=rule.name, rate=rule.rate, note=rule.note,
                     since=term.since, set_at=now)  # fmt: skip
    session.add(row)
    session.flush()


def tax_of(session: Session, tenant_id: int, at: datetime) -> TaxRule | None:
    """The tax rule that is in force at a time; None when nothing was ever said: then there is no tax, and no note."""
    return taxes_of(session, [tenant_id], at).get(tenant_id)


def taxes_of(session: Session, tenants: Collection[int], at: datetime) -> dict[int, TaxRule]:
    """{tenant: the tax rule that is in force at a time}, of those for whom one was ever said."""
    rows = session.exec(
        select(TaxTermRow)
        .where(col(TaxTermRow.tenant_id).in_(tenants), col(TaxTermRow.since) <= at)
        .order_by(col(TaxTermRow.id))
    )
    # a rule that was set later takes the place of an earlier one
    return {row.tenant_id: TaxRule(TaxKind(row.kind), row.name, row.rate.normalize(), row.note) for row in rows}


def underived_gaps(session: Session) -> list[tuple[int, Span]]:
    """(term, span) of the gap terms that usage does not reflect yet."""
    rows = session.exec(select(GapTermRow).where(col(GapTermRow.derived_at).is_(None)).order_by(col(GapTermRow.id)))
    return [(row.id or 0, Span(row.since, FOREVER)) for row in rows]


def mark_gaps_derived(session: Session, terms: Sequence[int], now: datetime) -> None:
    """Usage reflects these terms, and no others: somebody may have set one meanwhile."""
    for row in session.exec(select(GapTermRow).where(col(GapTermRow.id).in_(terms))):
        row.derived_at = now
        session.add(row)


def owner_id(session: Session, slug: str) -> int:
    """Raises NotFound."""
    found = session.exec(select(OwnerRow.id).where(OwnerRow.slug == slug)).first()
    if found is None:
        raise NotFound(f"there is no owner {slug}", remedy="see: stablemeter owner list")
    return found


def add_key(session: Session, key: NewKey, bearer: Bearer, now: datetime) -> None:
    if (bearer.role is KeyRole.TENANT) != (bearer.tenant_id is not None):
        raise Invalid("a tenant key needs a tenant, and only a tenant key has one")
    if (bearer.role is KeyRole.OWNER) != (bearer.owner_id is not None):
        raise Invalid("an owner key needs an owner, and only an owner key has one")
    row = ApiKeyRow(
        name=bearer.name, prefix=key.prefix, digest=key.digest, role=bearer.role, tenant_id=bearer.tenant_id,
        owner_id=bearer.owner_id, created_at=now,
    )  # fmt: skip
    session.add(row)


def keys_in_force(session: Session, tenant_id: int) -> int:
    query = select(func.count()).where(ApiKeyRow.tenant_id == tenant_id, col(ApiKeyRow.revoked_at).is_(None))
    return int(session.exec(query).one())


def revoke_key(session: Session, prefix: str, now: datetime, tenant_id: int | None = None) -> None:
    """Raises NotFound, with `tenant_id` also for a key of somebody else. Revoking twice changes nothing."""
    row = session.exec(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix)).first()
    if row is None or tenant_id not in (None, row.tenant_id):
        raise NotFound(f"there is no API key {prefix}", remedy="see: stablemeter apikey list")
    if row.revoked_at is None:
        row.revoked_at = now
        session.add(row)


def bearer(session: Session, digest: str, now: datetime) -> Bearer | None:
    """Who holds the key with this digest; None when nobody does or it was revoked. Notes the minute of its last use."""
    row = session.exec(select(ApiKeyRow).where(ApiKeyRow.digest == digest, col(ApiKeyRow.revoked_at).is_(None))).first()
    if row is None:
        return None
    if row.last_used_at is None or (now - row.last_used_at).total_seconds() >= 60:
        row.last_used_at = now
        session.add(row)
    slug = session.get_one(TenantRow, row.tenant_id).slug if row.tenant_id is not None else ""
    owner = session.get_one(OwnerRow, row.owner_id).slug if row.owner_id is not None else ""
    return Bearer(row.name, KeyRole(row.role), slug, row.tenant_id, owner, row.owner_id)


def keys(
    session: Session, *, tenant_id: int | None = None, prefix: str = "", after_id: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """What may be shown of all keys, of a tenant's, or of one, by age: never the digest."""
    query = (
        select(ApiKeyRow, TenantRow.slug, OwnerRow.slug)
        .join(TenantRow, col(TenantRow.id) == ApiKeyRow.tenant_id, isouter=True)
        .join(OwnerRow, col(OwnerRow.id) == ApiKeyRow.owner_id, isouter=True)
        .where(col(ApiKeyRow.id) > after_id)
        .order_by(col(ApiKeyRow.id))
        .limit(limit)
    )
    if tenant_id is not None:
        query = query.where(ApiKeyRow.tenant_id == tenant_id)
    if prefix:
        query = query.where(ApiKeyRow.prefix == prefix)
    return [
        {
            "id": row.id or 0,
            "prefix": row.prefix,
            "name": row.name,
            "role": row.role,
            "tenant": tenant,
            "owner": owner,
            "created_at": row.created_at,
            "last_used_at": row.last_used_at,
            "revoked_at": row.revoked_at,
        }
        for row, tenant, owner in session.exec(query)
    ]

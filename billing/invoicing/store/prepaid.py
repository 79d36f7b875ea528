"""Rows of prepaid tenants: their terms, what they hold, and where they stood last."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.money import Asset
from billing.core.period import Span
from billing.db.tables.prepaid import PrepaidLevelRow, PrepaidTermRow
from billing.db.tables.tenants import TenantRow
from billing.invoicing.cycle import open_parts
from billing.invoicing.runway import Level, Runway, Terms
from billing.invoicing.store.periods import covered
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY


@dataclass(frozen=True, slots=True)
class Noted:
    """What a tick found of a tenant."""

    currency: Asset
    accrued: int
    per_day: int
    level: Level
    since: datetime
    looked_at: datetime


def terms_of(session: Session, tenant_id: int) -> Terms | None:
    """None: the tenant pays after it used."""
    row = session.get(PrepaidTermRow, tenant_id)
    return None if row is None else Terms(row.low_units, row.low_days, row.suspend_at_zero)


def set_terms(session: Session, tenant_id: int, terms: Terms | None, now: datetime) -> None:
    """The last word counts. Without terms, nothing is known of how full it was either."""
    row = session.get(PrepaidTermRow, tenant_id, with_for_update=True)
    if terms is None:
        session.execute(text("DELETE FROM prepaid_level WHERE tenant_id = :tenant"), {"tenant": tenant_id})
        if row is not None:
            session.delete(row)
    else:
        row = row or PrepaidTermRow(tenant_id=tenant_id, set_at=now)
        row.low_units, row.low_days, row.suspend_at_zero = terms.low_units, terms.low_days, terms.suspend_at_zero
        row.set_at = now
        session.add(row)
    session.flush()


def everybody(session: Session) -> list[tuple[int, str]]:
    """(id, slug) of the tenants that pay before they use."""
    rows = session.exec(
        select(TenantRow.id, TenantRow.slug)
        .join(PrepaidTermRow, col(PrepaidTermRow.tenant_id) == TenantRow.id)
        .order_by(col(TenantRow.id))
    )
    return [(tenant_id, slug) for tenant_id, slug in rows if tenant_id is not None]


def holding(session: Session, tenant_id: int, currency: str) -> tuple[int, int]:
    """(final, pending) credit that is not used up. Locks nothing."""
    row = session.execute(
        text(
            "SELECT coalesce(sum(units) FILTER (WHERE final_at IS NOT NULL), 0) - coalesce(sum(used), 0) AS held,"
            " coalesce(sum(units) FILTER (WHERE final_at IS NULL), 0) AS pending FROM (SELECT c.units, c.final_at,"
            "  (SELECT sum(u.units) FROM credit_use u WHERE u.credit_id = c.id) AS used FROM tenant_credit c"
            "  WHERE c.tenant_id = :tenant AND c.currency = :currency AND c.reversed_at IS NULL) AS one"
        ),
        {"tenant": tenant_id, "currency": currency},
    ).one()
    return int(row.held), int(row.pending)


def noted(session: Session, tenant_id: int) -> Noted | None:
    row = session.get(PrepaidLevelRow, tenant_id, populate_existing=True)
    if row is None:
        return None
    currency = Asset(row.currency, row.exponent)
    return Noted(currency, row.accrued_units, row.per_day_units, Level(row.state), row.state_at, row.looked_at)


def note(session: Session, tenant_id: int, found: Runway, level: Level) -> None:
    """What a tick found. `since` moves only when the level does."""
    row = session.get(PrepaidLevelRow, tenant_id, with_for_update=True)
    if row is None:
        row = PrepaidLevelRow(
            tenant_id=tenant_id, currency="", exponent=0, accrued_units=0, per_day_units=0, state="",
            state_at=found.at, looked_at=found.at,
        )  # fmt: skip
    row.currency, row.exponent = found.currency.code, found.currency.exponent
    row.accrued_units, row.per_day_units = found.accrued, found.per_day
    if row.state != level:
        row.state, row.state_at = level, found.at
    row.looked_at = found.at
    session.add(row)
    session.flush()


def open_periods(session: Session, payer_id: int, now: datetime) -> list[Span]:
    """A payer's periods in which it used something and has no invoice that stands. This one and the last always count: a
    meter's events are not looked for."""
    cycle = tenants.cycles(session).get(payer_id, MONTHLY)
    present = cycle.period_of(now)
    last = cycle.period_of(present.start - timedelta(seconds=1))
    first: datetime | None = session.execute(
        text(
            "SELECT min(lower(u.during)) FROM usage u JOIN tenant t ON t.id = u.tenant_id"
            " WHERE u.superseded_at IS NULL AND coalesce(t.reseller_id, t.id) = :payer"
        ),
        {"payer": payer_id},
    ).scalar_one()
    known = cycle.periods(first, present.start) if first is not None else []
    rows = session.execute(
        text(
            "SELECT p.since, p.until FROM unnest(CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[])) p(since, until)"
            " WHERE EXISTS (SELECT FROM usage u JOIN tenant t ON t.id = u.tenant_id WHERE u.superseded_at IS NULL"
            " AND coalesce(t.reseller_id, t.id) = :payer AND u.during && tstzrange(p.since, p.until))"
        ),
        {"payer": payer_id, "since": [one.start for one in known], "until": [one.end for one in known]},
    )
    wanted = sorted({last, present, *(Span(row.since, row.until) for row in rows)})
    parts: set[Span] = set()
    for period in wanted:
        parts |= open_parts(period, [payer_id], covered(session, [payer_id], period)).keys()
    return sorted(parts)


def used_within(session: Session, payer_id: int, window: Span) -> Span | None:
    """From the payer's first use in a window, to where the newest usage of anybody ends: what is later was not read yet."""
    row = session.execute(
        text(
            "SELECT min(greatest(lower(u.during), :start)) FILTER (WHERE coalesce(t.reseller_id, t.id) = :payer) AS first,"
            " max(least(upper(u.during), :end)) AS last FROM usage u JOIN tenant t ON t.id = u.tenant_id"
            " WHERE u.superseded_at IS NULL AND u.during && tstzrange(:start, :end)"
        ),
        {"payer": payer_id, "start": window.start, "end": window.end},
    ).one()
    return Span(row.first, row.last) if row.first is not None and row.first < row.last else None

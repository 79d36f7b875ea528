"""Rows of prices in force, as terms; and the spot rates that some of them refer to."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, NotFound
from billing.core.period import Span
from billing.db.tables.pricing import PriceRow, SkuRow, SpotRateRow
from billing.pricing.tariff import Model, Tariff, from_json
from billing.pricing.terms import Prices, Rates, Term
from billing.pricing.terms import prices as priced


def tariff_of(row: PriceRow, *, is_time: bool) -> Tariff:
    if row.model == Model.FLAT:
        return (
            Tariff.flat(row.per_hour)
            if row.per_hour is not None
            else Tariff.flat(row.per_unit or Decimal(0), row.unit_size or 1)
        )
    return from_json(row.model, row.tiers or [], row.unit_size or 3600, is_time=is_time)


def terms(session: Session, period: Span) -> list[Term]:
    """The prices in force at some time of a period."""
    rows = session.exec(
        select(PriceRow, SkuRow.meter)
        .join(SkuRow, col(SkuRow.code) == PriceRow.sku)
        .where(col(PriceRow.superseded_at).is_(None), col(PriceRow.during).op("&&")(period))
        .order_by(PriceRow.sku, col(PriceRow.during))
    )
    return [Term(row.sku, meter, row.tenant_id, row.during, tariff_of(row, is_time=not meter)) for row, meter in rows]


def in_force(session: Session, period: Span) -> Prices:
    """Which price holds for whom and when in a period."""
    rows = session.execute(text("SELECT id, reseller_id FROM tenant WHERE reseller_id IS NOT NULL"))
    resellers = {row.id: row.reseller_id for row in rows}
    return priced(terms(session, period), period, resellers, spot_rates(session, period))


def spot_rates(session: Session, period: Span) -> Rates:
    rows = session.exec(
        select(SpotRateRow)
        .where(col(SpotRateRow.during).op("&&")(period))
        .order_by(SpotRateRow.sku, col(SpotRateRow.during))
    )
    found: dict[str, list[tuple[Span, Decimal]]] = defaultdict(list)
    for row in rows:
        found[row.sku].append((row.during, row.per_hour))
    return found


def set_spot_rates(session: Session, sku: str, rates: list[tuple[Span, Decimal]], actor: str, now: datetime) -> int:
    """Keep spot rates of a SKU; those that are known already are passed over. Returns how many are new. Raises NotFound for
    an unknown SKU, Conflict where other rates were offered for some of the time."""
    known_sku = session.get(SkuRow, sku)
    if known_sku is None or known_sku.meter:
        raise NotFound(f"there is no SKU {sku} of devices", remedy="see: stablemeter price show")
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('spot ' || :sku, 0))"), {"sku": sku})
    whole = Span(rates[0][0].start, rates[-1][0].end)
    known = dict(spot_rates(session, whole).get(sku, ()))
    new = []
    for span, rate in rates:
        if known.get(span) == rate:
            continue
        other = next((one for one in known if one.overlap(span) is not None), None)
        if other is not None:
            raise Conflict(
                f"{sku} was offered at {known[other]:f} for {other}", remedy="what was offered is never changed"
            )
        new.append(SpotRateRow(sku=sku, per_hour=rate, during=span, set_at=now, set_by=actor))
    session.add_all(new)
    session.flush()
    return len(new)

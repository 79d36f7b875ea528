"""Rows of prices and charges of meters: what is counted in events, not in time."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing.core.period import Span, month_of
from billing.core.quantity import total
from billing.db.tables.pricing import ChargeRow, PriceRow, SkuRow
from billing.pricing.metered import MeterPrice
from billing.pricing.rating import LineKey
from billing.pricing.terms import Prices


def prices(found: Prices) -> list[MeterPrice]:
    """The prices of meters among those of a period."""
    return [
        MeterPrice(one.sku, one.meter, one.tariff, one.span, one.tenant_id) for one in found.groups if one.meter
    ]  # fmt: skip


def priced(session: Session) -> dict[str, str]:
    """{meter: SKU} of the meters that have a price at some time."""
    rows = session.exec(
        select(SkuRow.meter, SkuRow.code)
        .join(PriceRow, col(PriceRow.sku) == SkuRow.code)
        .where(col(PriceRow.superseded_at).is_(None), SkuRow.meter != "")
    )
    return dict(rows.all())


def sold_since(session: Session) -> dict[str, datetime]:
    """{meter: start of the month of its first price}. What happened in earlier months was not for sale."""
    rows = session.exec(
        select(SkuRow.meter, func.min(func.lower(PriceRow.during)))
        .join(PriceRow, col(PriceRow.sku) == SkuRow.code)
        .where(col(PriceRow.superseded_at).is_(None), SkuRow.meter != "")
        .group_by(SkuRow.meter)
    )
    return {meter: month_of(first).start for meter, first in rows}


def charged(
    session: Session, period: Span, tenant_ids: Iterable[int] | None
) -> dict[LineKey, tuple[str, Span, Decimal, int]]:
    """(meter, span, quantity, amount) charged so far for each line of a meter in a period, voids taken off."""
    query = select(ChargeRow).where(col(ChargeRow.meter).is_not(None), col(ChargeRow.during).op("<@")(period))
    if tenant_ids is not None:
        query = query.where(col(ChargeRow.tenant_id).in_(list(tenant_ids)))
    found: dict[LineKey, tuple[str, Span, Decimal, int]] = {}
    for row in session.exec(query):
        assert row.meter is not None and row.quantity is not None
        key = LineKey.of(row.tenant_id, row.sku, row.during, row.unit_price)
        _, _, quantity, amount = found.get(key, (row.meter, row.during, Decimal(0), 0))
        found[key] = (row.meter, row.during, total([quantity, row.quantity]), amount + row.amount)
    return found

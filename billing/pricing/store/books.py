"""Rows of price books, SKUs, prices and agreements: what a book would change, and the change itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.money import Asset
from billing.core.period import HOUR, Span
from billing.db.tables.pricing import AgreementRow, PriceBookRow, PriceRow, SkuRow
from billing.pricing.agreement import Agreement
from billing.pricing.pricebook import PriceBook, digest
from billing.pricing.store.agreements import agreement_of
from billing.pricing.store.terms import tariff_of
from billing.pricing.tariff import Model, Tariff, to_json


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price or an agreement that a book adds or takes away, of the list or of one tenant. `before` or `after` is None when
    there is none."""

    sku: str
    span: Span
    before: Tariff | Agreement | None
    after: Tariff | Agreement | None
    tenant: str = ""


def plan(session: Session, book: PriceBook, closed_until: datetime | None) -> list[PriceChange]:
    """How a book would change the prices in force. Raises Conflict when it reaches back into closed time, NotFound for a
    tenant that nobody knows."""
    _require_same_meters(session, book)
    _require_same_models(session, book)
    slugs = {row.id: row.slug for row in session.execute(text("SELECT id, slug FROM tenant"))}
    _require_tenants(book, set(slugs.values()))
    changes = _changes(_prices(session, slugs), {(t.sku, t.tenant, t.span): t.tariff for t in book.terms()})
    changes += _changes(
        _agreements(session, slugs), {(one.code, tenant, one.span): one for one, tenant in book.agreements()}
    )
    if closed_until is not None:
        for change in changes:
            if change.span.start < closed_until and not _same_until(changes, change, closed_until):
                raise Conflict(
                    f"the price of {change.sku} from {change.span.start.isoformat()} is in time that is closed",
                    remedy=f"change prices from {closed_until.isoformat()} on",
                )
    return changes


Key = tuple[str, str, Span]
"""(SKU or code, tenant or nobody, span)."""


def _changes(old: Mapping[Key, Tariff | Agreement], new: Mapping[Key, Tariff | Agreement]) -> list[PriceChange]:
    return [
        PriceChange(key[0], key[2], old.get(key), new.get(key), key[1])
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _prices(session: Session, slugs: Mapping[int, str]) -> dict[Key, Tariff | Agreement]:
    rows = session.exec(
        select(PriceRow, SkuRow.meter)
        .join(SkuRow, col(SkuRow.code) == PriceRow.sku)
        .where(col(PriceRow.superseded_at).is_(None))
    )
    return {
        (row.sku, slugs.get(row.tenant_id or 0, ""), row.during): tariff_of(row, is_time=not meter)
        for row, meter in rows
    }  # fmt: skip


def _agreements(session: Session, slugs: Mapping[int, str]) -> dict[Key, Tariff | Agreement]:
    """Without the tenant's id: a book names tenants."""
    rows = session.exec(select(AgreementRow).where(col(AgreementRow.superseded_at).is_(None)))
    return {
        (row.code, slugs.get(row.tenant_id or 0, ""), row.during): replace(agreement_of(row), tenant_id=None)
        for row in rows
    }  # fmt: skip


def _require_tenants(book: PriceBook, known: set[str]) -> None:
    named = {one.tenant for one in book.override} | {tenant for _, tenant in book.agreements() if tenant}
    unknown = sorted(named - known)
    if unknown:
        raise NotFound(
            f"the price book names {unknown[0]}, and there is no such tenant", remedy="stablemeter tenant add"
        )


def _require_same_meters(session: Session, book: PriceBook) -> None:
    """What a SKU stands for is on invoices already. Raises Conflict when a book makes it something else."""
    known = {row.code: row.meter for row in session.exec(select(SkuRow))}
    for sku in book.sku:
        if known.get(sku.code, sku.meter) != sku.meter:
            was = f"the meter {known[sku.code]}" if known[sku.code] else "devices"
            raise Conflict(f"{sku.code} is a SKU of {was} and cannot become another", remedy="use a new code")
    for agreement, _ in book.agreements():
        if agreement.code in known:
            raise Invalid(f"{agreement.code} is a SKU and cannot be a {agreement.kind} too", remedy="use a new code")
    taken = set(session.exec(select(AgreementRow.code)))
    for sku in book.sku:
        if sku.code in taken:
            raise Invalid(f"{sku.code} was a fee, minimum or discount and cannot be a SKU", remedy="use a new code")


def _require_same_models(session: Session, book: PriceBook) -> None:
    """Which SKU a device is of is not dated, and invoiced months are rated again when something is learnt late. Raises
    Conflict when a book takes a model from the SKU that it was charged as."""
    offered = {(sku.code, model, sku.profile) for sku in book.sku for model in sku.models}
    rows = session.execute(
        text(
            "SELECT DISTINCT c.sku, g.model, d.profile FROM charge c JOIN device d ON d.id = c.device_id"
            " JOIN gpu g ON g.id = d.gpu_id WHERE c.line_kind = 'usage' ORDER BY 1, 2, 3"
        )
    )
    for code, model, profile in rows:
        if (code, model, profile) not in offered:
            raise Conflict(
                f"{' '.join(part for part in (model, profile) if part)} was invoiced as {code} and must stay with it",
                remedy=f"leave it among the models of {code}; change the price or the title instead",
            )


def _same_until(changes: Sequence[PriceChange], change: PriceChange, closed: datetime) -> bool:
    """A span that only ends elsewhere, later than the closed time, changes nothing before it."""
    other = change.after if change.before is None else change.before
    return any(
        twin is not change
        and (twin.sku, twin.tenant) == (change.sku, change.tenant)
        and twin.span.start == change.span.start
        and min(twin.span.end, change.span.end) >= closed
        and _unspanned(other) == _unspanned(twin.before if twin.after is None else twin.after)
        for twin in changes
    )


def _unspanned(one: Tariff | Agreement | None) -> object:
    """An agreement knows its own span, which is compared elsewhere."""
    if not isinstance(one, Agreement):
        return one
    return one.kind, one.code, one.title, one.skus, one.amount, one.percent, one.prorate


def apply(
    session: Session, book: PriceBook, content: str, changes: Sequence[PriceChange], actor: str, now: datetime
) -> None:
    """Make a book's SKUs, prices and agreements the ones in force."""
    row = PriceBookRow(digest=digest(content), content=content, applied_at=now, applied_by=actor)
    session.add(row)
    for sku in book.sku:
        session.merge(SkuRow(code=sku.code, title=sku.title, models=sku.models, profile=sku.profile, meter=sku.meter))
    session.flush()
    assert row.id is not None
    ids = {one.slug: one.id for one in session.execute(text("SELECT id, slug FROM tenant"))}
    gone = {(change.sku, ids.get(change.tenant), change.span) for change in changes if change.before is not None}
    for price in session.exec(select(PriceRow).where(col(PriceRow.superseded_at).is_(None))):
        if (price.sku, price.tenant_id, price.during) in gone:
            price.superseded_at = now
            session.add(price)
    for one in session.exec(select(AgreementRow).where(col(AgreementRow.superseded_at).is_(None))):
        if (one.code, one.tenant_id, one.during) in gone:
            one.superseded_at = now
            session.add(one)
    session.flush()
    for change in changes:
        if isinstance(change.after, Agreement):
            session.add(_agreement_row(row.id, change.after, ids.get(change.tenant)))
        elif change.after is not None:
            session.add(_price_row(row.id, book, change, change.after, ids.get(change.tenant)))
    session.flush()


def _price_row(book_id: int, book: PriceBook, change: PriceChange, tariff: Tariff, tenant_id: int | None) -> PriceRow:
    flat, tiered = tariff.model is Model.FLAT, tariff.model not in (Model.FLAT, Model.SPOT)
    sized = (flat and not tariff.is_time) or (tiered and tariff.size != HOUR) or (tiered and not tariff.is_time)
    return PriceRow(
        book_id=book_id,
        sku=change.sku,
        tenant_id=tenant_id,
        currency=book.currency,
        exponent=book.exponent,
        model=tariff.model.value,
        per_hour=tariff.tiers[0].price if flat and tariff.is_time else None,
        per_unit=tariff.tiers[0].price if flat and not tariff.is_time else None,
        unit_size=tariff.size if sized else None,
        tiers=to_json(tariff) if tiered else None,
        during=change.span,
    )


def _agreement_row(book_id: int, one: Agreement, tenant_id: int | None) -> AgreementRow:
    return AgreementRow(
        book_id=book_id,
        kind=one.kind.value,
        code=one.code,
        title=one.title,
        tenant_id=tenant_id,
        skus=sorted(one.skus),
        amount=one.amount,
        percent=one.percent,
        prorate=one.prorate,
        during=one.span,
    )


def currency(session: Session) -> Asset:
    """The currency of the prices in force. Raises NotFound before the first book."""
    row = session.exec(select(PriceRow).where(col(PriceRow.superseded_at).is_(None)).limit(1)).first()
    if row is None:
        raise NotFound("there are no prices yet", remedy="stablemeter price apply FILE")
    return Asset(row.currency, row.exponent)


def prices(session: Session) -> list[dict[str, Any]]:
    """The prices in force, as people list them."""
    rows = session.exec(
        select(PriceRow, SkuRow)
        .join(SkuRow, col(SkuRow.code) == PriceRow.sku)
        .where(col(PriceRow.superseded_at).is_(None))
        .order_by(PriceRow.sku, col(PriceRow.tenant_id).nulls_first(), col(PriceRow.during))
    )
    slugs = {row.id: row.slug for row in session.execute(text("SELECT id, slug FROM tenant"))}
    return [
        {
            "sku": price.sku,
            "tenant": slugs.get(price.tenant_id or 0),
            "title": sku.title,
            "models": sku.models,
            "profile": sku.profile,
            "meter": sku.meter or None,
            "currency": price.currency,
            "model": price.model,
            "price": str(tariff_of(price, is_time=not sku.meter)),
            "per_hour": None if price.per_hour is None else format(price.per_hour, "f"),
            "per_unit": None if price.per_unit is None else format(price.per_unit, "f"),
            "unit_size": price.unit_size,
            "tiers": price.tiers,
            "from": price.during.start,
            "until": None if price.during.is_open else price.during.end,
        }
        for price, sku in rows
    ]


def applied(session: Session, *, after_id: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """The books that were applied, oldest first, without their text."""
    query = select(PriceBookRow).where(col(PriceBookRow.id) > after_id).order_by(col(PriceBookRow.id)).limit(limit)
    return [row.model_dump(exclude={"content"}) for row in session.exec(query)]


def one(session: Session, book_id: int) -> dict[str, Any]:
    """A book with its text. Raises NotFound."""
    row = session.get(PriceBookRow, book_id)
    if row is None:
        raise NotFound(f"there is no price book {book_id}")
    return row.model_dump()


def agreements(session: Session) -> list[dict[str, Any]]:
    """The agreements in force, as people list them. Amounts are in the currency's smallest unit."""
    rows = session.exec(
        select(AgreementRow).where(col(AgreementRow.superseded_at).is_(None)).order_by(AgreementRow.code)
    )
    slugs = {row.id: row.slug for row in session.execute(text("SELECT id, slug FROM tenant"))}
    return [
        {
            "code": row.code,
            "kind": row.kind,
            "title": row.title,
            "tenant": slugs.get(row.tenant_id or 0),
            "skus": row.skus,
            "amount": row.amount,
            "percent": None if row.percent is None else format(row.percent, "f"),
            "prorate": row.prorate,
            "from": row.during.start,
            "until": None if row.during.is_open else row.during.end,
        }
        for row in rows
    ]


def titles(session: Session) -> dict[str, str]:
    """What codes of SKUs and agreements are called."""
    named = {row.code: row.title for row in session.exec(select(SkuRow))}
    return {**{row.code: row.title for row in session.exec(select(AgreementRow))}, **named}

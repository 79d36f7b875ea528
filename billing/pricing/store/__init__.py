"""Rows of price books, SKUs, prices and charges; and the sums over usage that rating starts from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, text
from sqlmodel import Session, col, select

from billing.core.errors import Conflict, NotFound
from billing.core.money import Asset
from billing.core.period import Span
from billing.db.tables.pricing import ChargeRow, PriceBookRow, PriceRow, SkuRow
from billing.pricing.pricebook import PriceBook, Rate, digest
from billing.pricing.rating import Charged, LineEvidence, LineKey, Quantity, RatedLine


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that a book adds or takes away. `before` or `after` is None when there is none."""

    sku: str
    span: Span
    before: Rate | None
    after: Rate | None


def plan(session: Session, book: PriceBook, closed_until: datetime | None) -> list[PriceChange]:
    """How a book would change the prices in force. Raises Conflict when it reaches back into closed time."""
    _require_same_meters(session, book)
    _require_same_models(session, book)
    changes = []
    rows = session.exec(
        select(PriceRow).where(col(PriceRow.superseded_at).is_(None)).order_by(col(PriceRow.during))
    ).all()
    for code in sorted({row.sku for row in rows} | {sku.code for sku in book.sku}):
        old = {row.during: _rate(row) for row in rows if row.sku == code}
        new = next((dict(sku.spans()) for sku in book.sku if sku.code == code), {})
        for span in sorted({*old, *new}):
            before, after = old.get(span), new.get(span)
            if before != after:
                changes.append(PriceChange(code, span, before, after))
    if closed_until is not None:
        for change in changes:
            if change.span.start < closed_until and not _same_until(changes, change, closed_until):
                raise Conflict(
                    f"the price of {change.sku} from {change.span.start.isoformat()} is in time that is closed",
                    remedy=f"change prices from {closed_until.isoformat()} on",
                )
    return changes


def _rate(row: PriceRow) -> Rate:
    if row.per_unit is not None:
        return Rate(row.per_unit, row.unit_size or 1)
    assert row.per_hour is not None
    return Rate(row.per_hour)


def _require_same_meters(session: Session, book: PriceBook) -> None:
    """What a SKU stands for is on invoices already. Raises Conflict when a book makes it something else."""
    known = {row.code: row.meter for row in session.exec(select(SkuRow))}
    for sku in book.sku:
        if known.get(sku.code, sku.meter) != sku.meter:
            was = f"the meter {known[sku.code]}" if known[sku.code] else "devices"
            raise Conflict(f"{sku.code} is a SKU of {was} and cannot become another", remedy="use a new code")


def _require_same_models(session: Session, book: PriceBook) -> None:
    """Which SKU a device is of is not dated, and invoiced months are rated again when something is learnt late. Raises
    Conflict when a book takes a model from the SKU that it was charged as."""
    offered = {(sku.code, model, sku.profile) for sku in book.sku for model in sku.models}
    rows = session.execute(
        text(
            "SELECT DISTINCT c.sku, g.model, d.profile FROM charge c JOIN device d ON d.id = c.device_id"
            " JOIN gpu g ON g.id = d.gpu_id ORDER BY 1, 2, 3"
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
        and twin.sku == change.sku
        and twin.span.start == change.span.start
        and min(twin.span.end, change.span.end) >= closed
        and other == (twin.before if twin.after is None else twin.after)
        for twin in changes
    )


def apply(
    session: Session, book: PriceBook, content: str, changes: Sequence[PriceChange], actor: str, now: datetime
) -> None:
    """Make a book's SKUs and prices the ones in force."""
    row = PriceBookRow(digest=digest(content), content=content, applied_at=now, applied_by=actor)
    session.add(row)
    for sku in book.sku:
        session.merge(SkuRow(code=sku.code, title=sku.title, models=sku.models, profile=sku.profile, meter=sku.meter))
    session.flush()
    assert row.id is not None
    gone = {(change.sku, change.span) for change in changes if change.before is not None}
    for price in session.exec(select(PriceRow).where(col(PriceRow.superseded_at).is_(None))):
        if (price.sku, price.during) in gone:
            price.superseded_at = now
            session.add(price)
    session.flush()
    for change in changes:
        if change.after is not None:
            session.add(
                PriceRow(
                    book_id=row.id,
                    sku=change.sku,
                    currency=book.currency,
                    exponent=book.exponent,
                    per_hour=None if change.after.unit_size else change.after.price,
                    per_unit=change.after.price if change.after.unit_size else None,
                    unit_size=change.after.unit_size or None,
                    during=change.span,
                )
            )
    session.flush()


def currency(session: Session) -> Asset:
    """The currency of the prices in force. Raises NotFound before the first book."""
    row = session.exec(select(PriceRow).where(col(PriceRow.superseded_at).is_(None)).limit(1)).first()
    if row is None:
        raise NotFound("there are no prices yet", remedy="stablemeter price apply FILE")
    return Asset(row.currency, row.exponent)


def prices(session: Session) -> list[dict[str, Any]]:
    rows = session.exec(
        select(PriceRow, SkuRow)
        .join(SkuRow, col(SkuRow.code) == PriceRow.sku)
        .where(col(PriceRow.superseded_at).is_(None))
        .order_by(PriceRow.sku, col(PriceRow.during))
    )
    return [
        {
            "sku": price.sku,
            "title": sku.title,
            "models": sku.models,
            "profile": sku.profile,
            "meter": sku.meter or None,
            "currency": price.currency,
            "per_hour": None if price.per_hour is None else format(price.per_hour, "f"),
            "per_unit": None if price.per_unit is None else format(price.per_unit, "f"),
            "unit_size": price.unit_size,
            "from": price.during.start,
            "until": None if price.during.is_open else price.during.end,
        }
        for price, sku in rows
    ]


def titles(session: Session) -> dict[str, str]:
    return {row.code: row.title for row in session.exec(select(SkuRow))}


PRICED = """
    WITH period AS (SELECT tstzrange(:start, :end) AS r),
    used AS (
      SELECT u.id, u.tenant_id, u.device_id, u.during * period.r AS during, d.gpu_id,
             g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END AS name,
             g.model, d.profile, u.basis, u.lease_id, u.bridged
        FROM period, usage u JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id
       WHERE u.superseded_at IS NULL AND u.during && period.r
         AND (CAST(:tenants AS bigint[]) IS NULL OR u.tenant_id = ANY(:tenants))),
    priced AS (
      SELECT used.*, s.code AS sku, p.per_hour, p.during * period.r AS span, used.during * p.during AS part
        FROM period, used JOIN sku s ON used.model = ANY(s.models) AND used.profile = s.profile
        JOIN price p ON p.sku = s.code AND p.superseded_at IS NULL AND p.during && used.during)"""

MEASURED = """,
    measured AS (
      SELECT priced.*,
             (SELECT sum(extract(epoch FROM upper(one) - lower(one))) FROM unnest((
               SELECT range_agg(o.during * priced.part) FROM device d JOIN observation o ON o.device_id = d.id
                WHERE d.gpu_id = priced.gpu_id AND (priced.basis = 'lease' OR d.id = priced.device_id)
                  AND o.superseded_at IS NULL AND o.state = 'present' AND upper(o.during) > lower(priced.part)
                  AND lower(o.during) < upper(priced.part) AND lower(o.during) >= lower(priced.part) - interval '31 days'
               )) AS one)::bigint AS seen_seconds
        FROM priced)"""
"""Rows of observations are cut at the start of a month: none is longer. So the index by device finds those of a part, device by
device; asked for what overlaps, the database would look through those of the whole fleet for each."""


def _period(period: Span, tenant_ids: Iterable[int] | None) -> dict[str, Any]:
    return {"start": period.start, "end": period.end, "tenants": None if tenant_ids is None else list(tenant_ids)}


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Something that was used and has no price: what it is, and a line for people."""

    what: str
    line: str


def unpriced(session: Session, period: Span, tenant_ids: Iterable[int] | None = None) -> list[Unpriced]:
    """What some tenants (or any) used in a period and has no SKU or no price then."""
    rows = session.execute(
        text(
            PRICED
            + """,
    parts AS (
      SELECT id, sum(extract(epoch FROM upper(part) - lower(part))) AS seconds FROM priced GROUP BY id)
    SELECT used.model, used.profile, min(s.code) AS sku,
           (sum(extract(epoch FROM upper(used.during) - lower(used.during))) - coalesce(sum(parts.seconds), 0))::bigint AS missing
      FROM used LEFT JOIN sku s ON used.model = ANY(s.models) AND used.profile = s.profile
      LEFT JOIN parts ON parts.id = used.id
     GROUP BY used.model, used.profile HAVING
           sum(extract(epoch FROM upper(used.during) - lower(used.during)))::bigint <> coalesce(sum(parts.seconds), 0)::bigint"""
        ),
        _period(period, tenant_ids),
    )
    found = []
    for row in rows:
        profile = f" with profile {row.profile}" if row.profile else ""
        line = f"{row.sku} has no price for {row.missing} s of the period"
        unlisted = f"no SKU lists the model {row.model!r}{profile}: {row.missing} s"
        found.append(Unpriced(row.model + profile, line if row.sku else unlisted))
    return found


def quantities(session: Session, period: Span, tenant_ids: Iterable[int] | None = None) -> list[Quantity]:
    """Seconds by tenant, device, SKU and price within a period."""
    rows = session.execute(
        text(
            PRICED
            + """
    SELECT tenant_id, device_id, sku, per_hour, lower(span) AS start, upper(span) AS until,
           sum(extract(epoch FROM upper(part) - lower(part)))::bigint AS seconds
      FROM priced GROUP BY tenant_id, device_id, sku, per_hour, span"""
        ),
        _period(period, tenant_ids),
    )
    return [Quantity(r.tenant_id, r.device_id, r.sku, r.per_hour, Span(r.start, r.until), r.seconds) for r in rows]


def evidence(session: Session, period: Span, tenant_ids: Iterable[int] | None = None) -> dict[LineKey, LineEvidence]:
    """The evidence of every line of a period. The digest is SHA-256 over the sorted lines `device start end`."""
    values = _period(period, tenant_ids)
    rows = session.execute(
        text(
            PRICED
            + MEASURED
            + """
    SELECT tenant_id, sku, per_hour, lower(span) AS start, upper(span) AS until,
           encode(sha256(convert_to(string_agg(name || ' ' || extract(epoch FROM lower(part))::bigint || ' '
             || extract(epoch FROM upper(part))::bigint, chr(10) ORDER BY name COLLATE "C", lower(part)), 'UTF8')), 'hex')
             AS digest,
           coalesce(sum(seen_seconds), 0)::bigint AS measured,
           coalesce(sum(extract(epoch FROM upper(part) - lower(part))) FILTER (WHERE bridged), 0)::bigint AS bridged
      FROM measured GROUP BY tenant_id, sku, per_hour, span"""
        ),
        values,
    )
    excluded = _excluded(session, period, values)
    found = {}
    for r in rows:
        key = LineKey.of(r.tenant_id, r.sku, Span(r.start, r.until), r.per_hour)
        found[key] = LineEvidence(r.digest, r.measured, excluded.get(key, []), r.bridged)
    return found


def _excluded(session: Session, period: Span, values: dict[str, Any]) -> dict[LineKey, list[tuple[str, int]]]:
    """Seconds by line and reason: exclusions of leases, and gaps between two runs of the same observed tenant."""
    rows = session.execute(
        text(
            """
    WITH period AS (SELECT tstzrange(:start, :end) AS r),
    observed AS (
      SELECT u.tenant_id, u.device_id, d.gpu_id, upper(u.during) AS gone, lead(lower(u.during)) OVER w AS back,
             lead(u.tenant_id) OVER w AS next_tenant
        FROM period, usage u JOIN device d ON d.id = u.device_id
       WHERE u.superseded_at IS NULL AND u.basis = 'observed' AND u.during && period.r AND d.profile = ''
      WINDOW w AS (PARTITION BY u.device_id ORDER BY lower(u.during))),
    gaps AS (
      SELECT tenant_id, device_id, gpu_id, tstzrange(gone, back) AS during FROM observed
       WHERE next_tenant = tenant_id AND back > gone),
    lost AS (
      SELECT gaps.tenant_id, gaps.gpu_id, gaps.during * o.during AS during,
             CASE o.state WHEN 'missing' THEN 'device missing' ELSE 'source blind' END AS reason,
             gaps.during AS gap
        FROM gaps JOIN observation o ON o.device_id = gaps.device_id AND o.superseded_at IS NULL
             AND o.state <> 'present' AND upper(o.during) > lower(gaps.during) AND lower(o.during) < upper(gaps.during)
             AND lower(o.during) >= lower(gaps.during) - interval '31 days'),
    whole AS (
      SELECT tenant_id, gpu_id, gap FROM lost GROUP BY tenant_id, gpu_id, gap
      HAVING sum(upper(during) - lower(during)) = upper(gap) - lower(gap)),
    excluded AS (
      SELECT l.tenant_id, l.gpu_id, x.reason, x.during * l.during AS during
        FROM exclusion x JOIN lease l ON l.gpu_id = x.gpu_id AND l.cancelled_at IS NULL AND l.during && x.during
       WHERE x.superseded_at IS NULL AND x.state = 'accepted'
      UNION ALL
      SELECT lost.tenant_id, lost.gpu_id, lost.reason, lost.during FROM lost
        JOIN whole ON whole.tenant_id = lost.tenant_id AND whole.gpu_id = lost.gpu_id AND whole.gap = lost.gap)
    SELECT e.tenant_id, s.code AS sku, p.per_hour, lower(p.during * period.r) AS start, upper(p.during * period.r) AS until,
           e.reason, sum(extract(epoch FROM upper(e.during * p.during * period.r) - lower(e.during * p.during * period.r)))::bigint
             AS seconds
      FROM period, excluded e JOIN gpu g ON g.id = e.gpu_id JOIN sku s ON g.model = ANY(s.models) AND s.profile = ''
      JOIN price p ON p.sku = s.code AND p.superseded_at IS NULL AND p.during && e.during
     WHERE NOT isempty(e.during * p.during * period.r) AND (CAST(:tenants AS bigint[]) IS NULL OR e.tenant_id = ANY(:tenants))
     GROUP BY e.tenant_id, s.code, p.per_hour, p.during, period.r, e.reason ORDER BY e.reason"""
        ),
        values,
    )
    found: dict[LineKey, list[tuple[str, int]]] = {}
    for r in rows:
        key = LineKey.of(r.tenant_id, r.sku, Span(r.start, r.until), r.per_hour)
        found.setdefault(key, []).append((r.reason, r.seconds))
    return found


def charged(session: Session, period: Span, tenant_ids: Iterable[int] | None = None) -> dict[LineKey, Charged]:
    """What was charged so far for each line of time in a period, on whatever invoice; voids taken off."""
    query = select(ChargeRow).where(col(ChargeRow.meter).is_(None), col(ChargeRow.during).op("<@")(period))
    if tenant_ids is not None:
        query = query.where(col(ChargeRow.tenant_id).in_(list(tenant_ids)))
    found: dict[LineKey, Charged] = {}
    for row in session.exec(query):
        key = LineKey.of(row.tenant_id, row.sku, row.during, row.unit_price)
        found.setdefault(key, Charged(row.during)).add(row.device_id, row.seconds, row.amount)
    return found


def charge(session: Session, invoice_id: int, position: int, line: RatedLine, currency: str, usage_digest: str) -> None:
    """Freeze a line's shares."""
    charge_all(session, invoice_id, [(position, line, usage_digest)], currency)


def charge_all(session: Session, invoice_id: int, lines: Iterable[tuple[int, RatedLine, str]], currency: str) -> None:
    """Freeze the shares of an invoice's lines, given as (position, line, usage digest), in one statement."""
    rows = [
        {
            "invoice_id": invoice_id,
            "position": position,
            "tenant_id": line.key.tenant_id,
            "device_id": share.device_id,
            "sku": line.key.sku,
            "unit_price": line.key.unit_price,
            "currency": currency,
            "during": line.span,
            "seconds": share.seconds,
            "meter": line.metered.meter if line.metered else None,
            "quantity": line.metered.quantity if line.metered else None,
            "amount": share.amount,
            "kind": "usage",
            "usage_digest": usage_digest,
        }
        for position, line, usage_digest in lines
        for share in line.shares
    ]
    if rows:
        session.execute(insert(ChargeRow.__table__), rows)  # type: ignore[attr-defined]


def cancel(session: Session, invoice_id: int) -> None:
    """Oppose every charge of an invoice: its usage may be invoiced again."""
    rows = session.exec(select(ChargeRow).where(ChargeRow.invoice_id == invoice_id, ChargeRow.kind == "usage")).all()
    session.add_all(
        ChargeRow(
            invoice_id=row.invoice_id,
            position=row.position,
            tenant_id=row.tenant_id,
            device_id=row.device_id,
            sku=row.sku,
            unit_price=row.unit_price,
            currency=row.currency,
            during=row.during,
            seconds=-row.seconds,
            meter=row.meter,
            quantity=None if row.quantity is None else row.quantity.copy_negate(),
            amount=-row.amount,
            kind="cancel",
            usage_digest=row.usage_digest,
        )
        for row in rows
    )

"""Sums over usage that rating starts from: how much, of what, at which price; and what stands behind it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span
from billing.pricing.rating import LineEvidence, LineKey, Quantity
from billing.pricing.terms import Group, Prices

_PIECES = """
    WITH period AS (SELECT tstzrange(:start, :end) AS r),
    pieces AS (
      SELECT grp, tenant_id, sku, tstzrange(since, until) AS during
        FROM unnest(CAST(:groups AS int[]), CAST(:piece_tenants AS bigint[]), CAST(:skus AS text[]),
                    CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[])) AS p(grp, tenant_id, sku, since, until)),
    own AS (
      SELECT tenant_id, sku FROM unnest(CAST(:own_tenants AS bigint[]), CAST(:own_skus AS text[])) AS o(tenant_id, sku))"""

PRICED = (
    _PIECES
    + """,
    used AS (
      SELECT u.id, u.tenant_id, u.device_id, u.during * period.r AS during, d.gpu_id,
             g.uuid || CASE WHEN d.profile = '' THEN '' ELSE '/' || d.gpu_i_id || ':' || d.profile END AS name,
             g.model, d.profile, u.basis, u.lease_id, u.bridged
        FROM period, usage u JOIN device d ON d.id = u.device_id JOIN gpu g ON g.id = d.gpu_id
       WHERE u.superseded_at IS NULL AND u.during && period.r
         AND (CAST(:tenants AS bigint[]) IS NULL OR u.tenant_id = ANY(:tenants))),
    priced AS (
      SELECT used.*, s.code AS sku, p.grp, used.during * p.during AS part
        FROM used JOIN sku s ON used.model = ANY(s.models) AND used.profile = s.profile
        LEFT JOIN own o ON o.tenant_id = used.tenant_id AND o.sku = s.code
        JOIN pieces p ON p.sku = s.code AND p.tenant_id = coalesce(o.tenant_id, 0) AND p.during && used.during)"""
)

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


def values(period: Span, prices: Prices, tenant_ids: Iterable[int] | None) -> dict[str, Any]:
    """`tenant_id` 0 stands for everybody who has no price of its own."""
    groups = prices.groups
    devices = [piece for piece in prices.pieces if not groups[piece.group].meter]
    own = sorted(prices.own)
    return {
        "start": period.start,
        "end": period.end,
        "tenants": None if tenant_ids is None else list(tenant_ids),
        "groups": [piece.group for piece in devices],
        "piece_tenants": [groups[piece.group].tenant_id or 0 for piece in devices],
        "skus": [groups[piece.group].sku for piece in devices],
        "since": [piece.during.start for piece in devices],
        "until": [piece.during.end for piece in devices],
        "own_tenants": [tenant_id for tenant_id, _ in own],
        "own_skus": [sku for _, sku in own],
    }


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Something that was used and has no price: what it is, and a line for people."""

    what: str
    line: str


def unpriced(session: Session, period: Span, prices: Prices, tenant_ids: Iterable[int] | None = None) -> list[Unpriced]:
    """What some tenants (or any) used in a period and has no SKU or no price then."""
    rows = session.execute(
        text(
            PRICED
            + """,
    covered AS (
      SELECT id, sum(extract(epoch FROM upper(part) - lower(part)))::bigint AS seconds FROM priced GROUP BY id)
    SELECT used.model, used.profile, min(s.code) AS sku,
           sum(extract(epoch FROM upper(used.during) - lower(used.during))::bigint - coalesce(covered.seconds, 0)) AS missing
      FROM used LEFT JOIN covered ON covered.id = used.id
      LEFT JOIN sku s ON used.model = ANY(s.models) AND used.profile = s.profile
     GROUP BY used.model, used.profile
    HAVING sum(extract(epoch FROM upper(used.during) - lower(used.during))::bigint - coalesce(covered.seconds, 0)) <> 0
     ORDER BY used.model, used.profile"""
        ),
        values(period, prices, tenant_ids),
    )
    found = []
    for row in rows:
        profile = f" with profile {row.profile}" if row.profile else ""
        line = f"{row.sku} has no price for {row.missing} s of the period"
        unlisted = f"no SKU lists the model {row.model!r}{profile}: {row.missing} s"
        found.append(Unpriced(row.model + profile, line if row.sku else unlisted))
    return found


def quantities(
    session: Session, period: Span, prices: Prices, tenant_ids: Iterable[int] | None = None
) -> list[Quantity]:
    """Seconds by tenant, device and price within a period."""
    rows = session.execute(
        text(
            PRICED
            + """
    SELECT tenant_id, device_id, grp, sum(extract(epoch FROM upper(part) - lower(part)))::bigint AS seconds
      FROM priced GROUP BY tenant_id, device_id, grp"""
        ),
        values(period, prices, tenant_ids),
    )
    found = []
    for r in rows:
        group = prices.groups[r.grp]
        found.append(
            Quantity(r.tenant_id, r.device_id, group.sku, group.unit_price, group.span, r.seconds, group.tariff)
        )
    return found


def _key(group: Group, tenant_id: int) -> LineKey:
    return LineKey.of(tenant_id, group.sku, group.span, group.unit_price)


def evidence(
    session: Session, period: Span, prices: Prices, tenant_ids: Iterable[int] | None = None
) -> dict[LineKey, LineEvidence]:
    """The evidence of all that is priced together. The digest is SHA-256 over the sorted lines `device start end`."""
    asked = values(period, prices, tenant_ids)
    rows = session.execute(
        text(
            PRICED
            + MEASURED
            + """
    SELECT tenant_id, grp,
           encode(sha256(convert_to(string_agg(name || ' ' || extract(epoch FROM lower(part))::bigint || ' '
             || extract(epoch FROM upper(part))::bigint, chr(10) ORDER BY name COLLATE "C", lower(part)), 'UTF8')), 'hex')
             AS digest,
           coalesce(sum(seen_seconds), 0)::bigint AS measured,
           coalesce(sum(extract(epoch FROM upper(part) - lower(part))) FILTER (WHERE bridged), 0)::bigint AS bridged
      FROM measured GROUP BY tenant_id, grp"""
        ),
        asked,
    )
    excluded = _excluded(session, prices, asked)
    found = {}
    for r in rows:
        key = _key(prices.groups[r.grp], r.tenant_id)
        found[key] = LineEvidence(r.digest, r.measured, excluded.get(key, []), r.bridged)
    return found


def _excluded(session: Session, prices: Prices, asked: dict[str, Any]) -> dict[LineKey, list[tuple[str, int]]]:
    """Seconds by line and reason: exclusions of leases, and gaps between two runs of the same observed tenant."""
    rows = session.execute(
        text(
            _PIECES
            + """,
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
      SELECT l.tenant_id, l.gpu_id, x.reason, x.during * l.during * period.r AS during
        FROM period, exclusion x JOIN lease l ON l.gpu_id = x.gpu_id AND l.cancelled_at IS NULL AND l.during && x.during
       WHERE x.superseded_at IS NULL AND x.state = 'accepted' AND x.during && period.r AND l.during && period.r
      UNION ALL
      SELECT lost.tenant_id, lost.gpu_id, lost.reason, lost.during * period.r FROM period, lost
        JOIN whole ON whole.tenant_id = lost.tenant_id AND whole.gpu_id = lost.gpu_id AND whole.gap = lost.gap)
    SELECT e.tenant_id, p.grp, e.reason,
           sum(extract(epoch FROM upper(e.during * p.during) - lower(e.during * p.during)))::bigint AS seconds
      FROM excluded e JOIN gpu g ON g.id = e.gpu_id JOIN sku s ON g.model = ANY(s.models) AND s.profile = ''
      LEFT JOIN own o ON o.tenant_id = e.tenant_id AND o.sku = s.code
      JOIN pieces p ON p.sku = s.code AND p.tenant_id = coalesce(o.tenant_id, 0) AND p.during && e.during
     WHERE NOT isempty(e.during) AND (CAST(:tenants AS bigint[]) IS NULL OR e.tenant_id = ANY(:tenants))
     GROUP BY e.tenant_id, p.grp, e.reason ORDER BY e.reason"""
        ),
        asked,
    )
    found: dict[LineKey, list[tuple[str, int]]] = {}
    for r in rows:
        found.setdefault(_key(prices.groups[r.grp], r.tenant_id), []).append((r.reason, r.seconds))
    return found

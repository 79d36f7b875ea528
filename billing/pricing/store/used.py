"""Reads the usage of a period device by device, with what was charged for it: one statement, its rows one after the other."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from billing.core.period import Span
from billing.pricing.store import terms
from billing.pricing.store.usage import MEASURED, PRICED, values
from billing.pricing.used import Used

AT_ONCE: Final = 5_000
"""Rows that are held at a time."""

_BILLABLE = """
    prices AS (
      SELECT grp, price, tstzrange(since, until) AS span
        FROM unnest(CAST(:priced_groups AS int[]), CAST(:unit_prices AS numeric[]), CAST(:line_since AS timestamptz[]),
                    CAST(:line_until AS timestamptz[])) AS p(grp, price, since, until)),
    billable AS (
      SELECT tenant_id, device_id, sku, price, span,
             sum(extract(epoch FROM upper(part) - lower(part)))::bigint AS seconds,
             coalesce(sum(seen_seconds), 0)::bigint AS measured,
             coalesce(sum(extract(epoch FROM upper(part) - lower(part))) FILTER (WHERE bridged), 0)::bigint AS bridged,
             encode(sha256(convert_to(string_agg(name || ' ' || extract(epoch FROM lower(part))::bigint || ' '
               || extract(epoch FROM upper(part))::bigint, chr(10) ORDER BY lower(part)), 'UTF8')), 'hex')
               AS digest
        FROM measured JOIN prices ON prices.grp = measured.grp GROUP BY tenant_id, device_id, sku, price, span)"""

_EXCLUDED = """
    observed AS (
      SELECT u.tenant_id, u.device_id, upper(u.during) AS gone, lead(lower(u.during)) OVER w AS back,
             lead(u.tenant_id) OVER w AS next_tenant
        FROM period, usage u JOIN device d ON d.id = u.device_id
       WHERE u.superseded_at IS NULL AND u.basis = 'observed' AND u.during && period.r AND d.profile = ''
      WINDOW w AS (PARTITION BY u.device_id ORDER BY lower(u.during))),
    gaps AS (
      SELECT tenant_id, device_id, tstzrange(gone, back) AS during FROM observed
       WHERE next_tenant = tenant_id AND back > gone),
    lost AS (
      SELECT gaps.tenant_id, gaps.device_id, gaps.during * o.during AS during,
             CASE o.state WHEN 'missing' THEN 'device missing' ELSE 'source blind' END AS reason, gaps.during AS gap
        FROM gaps JOIN observation o ON o.device_id = gaps.device_id AND o.superseded_at IS NULL
             AND o.state <> 'present' AND upper(o.during) > lower(gaps.during) AND lower(o.during) < upper(gaps.during)
             AND lower(o.during) >= lower(gaps.during) - interval '31 days'),
    whole AS (
      SELECT tenant_id, device_id, gap FROM lost GROUP BY tenant_id, device_id, gap
      HAVING sum(upper(during) - lower(during)) = upper(gap) - lower(gap)),
    left_out AS (
      SELECT l.tenant_id, d.id AS device_id, x.reason, x.during * l.during AS during
        FROM period, exclusion x
        JOIN lease l ON l.gpu_id = x.gpu_id AND l.cancelled_at IS NULL AND l.during && x.during
        JOIN LATERAL (SELECT id FROM device WHERE gpu_id = x.gpu_id AND profile = '' ORDER BY id LIMIT 1) d ON true
       WHERE x.superseded_at IS NULL AND x.state = 'accepted' AND x.during && period.r
      UNION ALL
      SELECT lost.tenant_id, lost.device_id, lost.reason, lost.during FROM lost
        JOIN whole ON whole.tenant_id = lost.tenant_id AND whole.device_id = lost.device_id AND whole.gap = lost.gap),
    reasons AS (
      SELECT e.tenant_id, e.device_id, s.code AS sku, q.price, q.span, e.reason,
             sum(extract(epoch FROM upper(e.during * p.during) - lower(e.during * p.during)))::bigint AS seconds
        FROM left_out e JOIN device d ON d.id = e.device_id JOIN gpu g ON g.id = d.gpu_id
        JOIN sku s ON g.model = ANY(s.models) AND s.profile = ''
        LEFT JOIN own o ON o.tenant_id = e.tenant_id AND o.sku = s.code
        JOIN pieces p ON p.sku = s.code AND p.tenant_id = coalesce(o.tenant_id, 0) AND p.during && e.during
        JOIN prices q ON q.grp = p.grp
       GROUP BY 1, 2, 3, 4, 5, 6),
    excluded AS (
      SELECT tenant_id, device_id, sku, price, span, json_agg(json_build_array(reason, seconds) ORDER BY reason COLLATE "C")
               AS reasons
        FROM reasons GROUP BY 1, 2, 3, 4, 5)"""

_CHARGED = """
    charges AS (
      SELECT c.tenant_id, c.device_id, c.sku, c.unit_price AS price, c.during AS span, coalesce(c.meter, '') AS meter,
             min(c.currency) AS currency, sum(c.seconds)::bigint AS seconds, sum(c.amount) AS amount,
             sum(c.quantity) AS quantity,
             array_agg(DISTINCT i.number COLLATE "C") FILTER (WHERE i.status <> 'void') AS numbers,
             (array_agg(c.usage_digest ORDER BY c.id DESC) FILTER (WHERE i.status <> 'void'))[1] AS digest
        FROM period, charge c JOIN invoice i ON i.id = c.invoice_id
       WHERE lower(c.during) <@ period.r GROUP BY 1, 2, 3, 4, 5, 6),
    standing AS (SELECT * FROM charges WHERE numbers IS NOT NULL)"""

_ROWS = """
    SELECT coalesce(r.slug, t.slug) AS tenant, CASE WHEN r.id IS NULL THEN '' ELSE t.slug END AS customer,
           coalesce(g.uuid, '') AS device, coalesce(d.gpu_i_id, '') AS gpu_instance, coalesce(d.profile, '') AS profile,
           coalesce(g.model, '') AS model, sku, coalesce(c.meter, '') AS meter, coalesce(c.currency, '') AS currency, price,
           lower(span) AS start, upper(span) AS until, coalesce(b.seconds, 0) AS seconds, coalesce(b.measured, 0) AS measured,
           coalesce(b.bridged, 0) AS bridged, x.reasons, coalesce(c.seconds, 0) AS charged_seconds, c.quantity, c.amount,
           c.numbers, coalesce(b.digest, '') AS usage_digest, coalesce(c.digest, '') AS charged_digest,
           CASE WHEN r.id IS NULL THEN coalesce(nullif(t.legal_name, ''), t.name) ELSE coalesce(nullif(r.legal_name, ''), r.name)
             END AS tenant_name,
           CASE WHEN r.id IS NULL THEN '' ELSE coalesce(nullif(t.legal_name, ''), t.name) END AS customer_name
      FROM billable b FULL JOIN excluded x USING (tenant_id, device_id, sku, price, span)
      FULL JOIN standing c USING (tenant_id, device_id, sku, price, span)
      JOIN tenant t ON t.id = tenant_id LEFT JOIN tenant r ON r.id = t.reseller_id
      LEFT JOIN device d ON d.id = device_id LEFT JOIN gpu g ON g.id = d.gpu_id
     ORDER BY coalesce(r.slug, t.slug) COLLATE "C", (r.id IS NOT NULL), t.slug COLLATE "C", sku COLLATE "C",
              g.uuid COLLATE "C", d.gpu_i_id COLLATE "C", d.profile COLLATE "C", device_id, lower(span), price, c.meter COLLATE "C"
"""


def used(session: Session, period: Span) -> Iterator[Used]:
    """Every device's billable time at every price, what was charged for it, and what was left out and why; and what was
    charged of meters and agreements. By payer, customer, SKU and device. Where a price depends on the quantity, time has the
    price 0 and charges have rows of their own."""
    statement = f"{PRICED} {MEASURED}, {_BILLABLE}, {_EXCLUDED}, {_CHARGED} {_ROWS}"
    prices = terms.in_force(session, period)
    asked = values(period, prices, None) | {
        "priced_groups": list(range(len(prices.groups))),
        "unit_prices": [group.unit_price for group in prices.groups],
        "line_since": [group.span.start for group in prices.groups],
        "line_until": [group.span.end for group in prices.groups],
    }
    rows = session.connection().execution_options(yield_per=AT_ONCE).execute(text(statement), asked)
    for row in rows:
        yield _used(row)


def _used(r: Any) -> Used:
    return Used(
        r.tenant, r.customer, r.device, r.gpu_instance, r.profile, r.model, r.sku, r.meter, r.currency, r.price,
        Span(r.start, r.until), r.seconds, r.measured, r.bridged,
        tuple((str(reason), int(seconds)) for reason, seconds in r.reasons or ()),
        r.charged_seconds, r.quantity, None if r.amount is None else int(r.amount), tuple(r.numbers or ()),
        r.usage_digest, r.charged_digest, r.tenant_name, r.customer_name,
    )  # fmt: skip


_DIGEST = """
    WITH lines AS (
      SELECT c.invoice_id, count(*) AS charges,
             encode(sha256(convert_to(string_agg(json_build_array(c.position, t.slug, g.uuid, d.gpu_i_id, d.profile, c.sku,
               trim_scale(c.unit_price)::text, c.currency, extract(epoch FROM lower(c.during))::bigint,
               extract(epoch FROM upper(c.during))::bigint, c.seconds, c.meter, trim_scale(c.quantity)::text, c.amount::text,
               c.kind, c.line_kind, c.usage_digest)::text, chr(10) ORDER BY c.id), 'UTF8')), 'hex') AS digest
        FROM charge c JOIN tenant t ON t.id = c.tenant_id LEFT JOIN device d ON d.id = c.device_id
        LEFT JOIN gpu g ON g.id = d.gpu_id
       WHERE lower(c.during) >= :start AND lower(c.during) < :end AND c.id <= :until GROUP BY c.invoice_id)
    SELECT coalesce(sum(charges), 0)::bigint AS charges,
           encode(sha256(convert_to(coalesce(string_agg(i.number || ' ' || lines.digest, chr(10) ORDER BY i.id), ''), 'UTF8')),
                  'hex') AS digest
      FROM lines JOIN invoice i ON i.id = lines.invoice_id"""


def charges_digest(session: Session, period: Span, until: int) -> tuple[int, str]:
    """How many charges a period has up to the row `until`, and a digest of them: SHA-256 over the lines `number digest` of its
    invoices, by age, each digest over the invoice's charges as JSON arrays, one a line."""
    row = session.execute(text(_DIGEST), {"start": period.start, "end": period.end, "until": until}).one()
    return row.charges, row.digest


def newest_charge(session: Session) -> int:
    """The newest row of charges; 0 when there is none."""
    return int(session.execute(text("SELECT coalesce(max(id), 0) FROM charge")).scalar_one())

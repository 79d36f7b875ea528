"""Applies price books, and rates the usage of a period."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.core.clock import Clock
from billing.core.errors import Conflict, NotFound
from billing.core.money import Asset
from billing.core.period import Span, month_of, rfc3339
from billing.db.changes import look_again
from billing.db.engine import Database, Session
from billing.events import store as events
from billing.events.meter import Meter, Total
from billing.pricing import agreement, metered
from billing.pricing.agreement import Invoiced
from billing.pricing.pricebook import parse
from billing.pricing.rating import (
    NO_EVIDENCE,
    Charged,
    LineEvidence,
    LineKey,
    LineKind,
    RatedLine,
    difference,
    lacking,
    part_evidence,
    wholes,
)
from billing.pricing.store import agreements, books, charges, terms, usage
from billing.pricing.store import meters as meters_store
from billing.pricing.store.books import PriceChange
from billing.pricing.store.usage import Unpriced
from billing.pricing.terms import Prices
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY
from billing.trail.store import Deed, record

ClosedUntil = Callable[[Session], datetime | None]
"""Until when time is closed: what was invoiced is not priced again. Invoicing knows; bootstrap wires it."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A period's lines with what stands behind each: what was not charged yet. `costs` is what the whole period costs, by
    payer's id."""

    currency: Asset
    lines: list[tuple[RatedLine, LineEvidence]]
    titles: dict[str, str]
    costs: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a book makes of a tenant's cost so far in the open month, in the currency's smallest unit; None: cannot be told."""

    tenant: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Effects:
    """Of everybody whose cost changes. `untold` says why the costs before, or after, cannot be told."""

    currency: Asset
    changed: list[Effect]
    untold: list[str]


class Rater:
    def __init__(
        self, database: Database, clock: Clock, closed_until: ClosedUntil, meters: Sequence[Meter] = ()
    ) -> None:
        self._database, self._clock, self._closed_until, self._meters = database, clock, closed_until, meters

    def check(self, content: str) -> list[PriceChange]:
        """What applying a book would change. Raises Invalid for a malformed book, Conflict for closed time."""
        book = parse(content)
        with self._database.transaction() as session:
            return books.plan(session, book, self._closed_until(session))

    def effect(self, content: str) -> Effects:
        """What a book would make of every payer's cost in the running month so far. Changes nothing."""
        book, now = parse(content), self._clock.now()
        month = month_of(now)
        with self._database.transaction() as session:
            slugs = {one.id: one.slug for one in tenants.listed(session)}
            before, unknown = self._costs(session, month)
            trial = session.begin_nested()
            books.apply(session, book, content, books.plan(session, book, self._closed_until(session)), "trial", now)
            after, unknown_after = self._costs(session, month)
            trial.rollback()
        found = [
            Effect(slugs[payer], None if before is None else before.get(payer, 0), None if after is None else after.get(payer, 0))
            for payer in sorted({*(before or ()), *(after or ())}, key=lambda payer: slugs[payer])
        ]  # fmt: skip
        untold = [f"{when}: {why}" for when, why in (("before", unknown), ("after", unknown_after)) if why]
        return Effects(book.asset, [one for one in found if one.before != one.after], untold)

    def _costs(self, session: Session, period: Span) -> tuple[Mapping[int, int] | None, str]:
        """What everybody's usage costs; or why that cannot be told: there are no prices yet, or a SKU is of a meter that is not
        declared."""
        try:
            return rated(session, period, None, self._meters, closed=True).costs, ""
        except (Conflict, NotFound) as error:
            return None, error.what

    def apply(self, content: str, *, actor: str) -> list[PriceChange]:
        """Make a book's prices the ones in force. All of it, or nothing."""
        book, now = parse(content), self._clock.now()
        with self._database.transaction() as session:
            changes = books.plan(session, book, self._closed_until(session))
            books.apply(session, book, content, changes, actor, now)
            look_again(session)
            details = {"changes": len(changes), "skus": len(book.sku)}
            record(session, Deed(now, actor, "price.apply", "price book", details=details))
        return changes

    def offer(self, sku: str, rates: list[tuple[Span, Decimal]], *, actor: str) -> int:
        """Set spot rates of a SKU: all of them, or none. Returns how many are new. Raises Conflict for closed time, and where
        another rate was offered."""
        now = self._clock.now()
        with self._database.transaction() as session:
            closed = self._closed_until(session)
            if closed is not None and rates[0][0].start < closed:
                raise Conflict(
                    f"spot rates from {rfc3339(rates[0][0].start)} are in time that is closed",
                    remedy=f"set rates from {rfc3339(closed)} on",
                )
            new = terms.set_spot_rates(session, sku, rates, actor, now)
            look_again(session)
            span = Span(rates[0][0].start, rates[-1][0].end)
            record(session, Deed(now, actor, "price.spot", f"SKU {sku}", details={"new": new, "span": str(span)}))
        return new

    def prices(self) -> list[dict[str, Any]]:
        with self._database.transaction() as session:
            return books.prices(session)

    def agreements(self) -> list[dict[str, Any]]:
        with self._database.transaction() as session:
            return books.agreements(session)


def rated(
    session: Session,
    period: Span,
    tenant_ids: Sequence[int] | None = None,
    meters: Sequence[Meter] = (),
    *,
    closed: bool = False,
    final: bool = True,
) -> Rated:
    """Rate what some tenants (or all) used in a period and was not charged yet; or charged and is not used any more; with what
    their payers agreed to. `tenant_ids` must be all tenants of their payers.
    `meters` are the declared ones. In a `closed` period nothing gets a price any more: what has none is left out, and
    `unpriced` tells it. Before a period is over (`final` is false) there are no fees and minimums.

    Raises Conflict when anything that they used in the period has no price: a gap in the price book must not become a gift.
    """
    prices = terms.in_force(session, period)
    totals = _totals(session, period, tenant_ids, meters, prices)
    if not closed and (
        missing := [one.line for one in (*usage.unpriced(session, period, prices, tenant_ids), *_unpriced(totals))]
    ):
        raise Conflict(f"cannot rate {period}: {'; '.join(missing[:3])}", remedy="complete the price book and apply it")
    currency = books.currency(session)
    charged = charges.charged(session, period, tenant_ids)
    of_time = wholes(usage.quantities(session, period, prices, tenant_ids), currency)
    of_meters = metered.wholes(totals, meters_store.prices(prices), meters, currency)
    payers = _payers(session, tenant_ids)
    whole = [*of_time, *(line for line, _ in of_meters)]
    agreed = _agreed(session, whole, payers, period, final=final)
    behind = usage.evidence(session, period, prices, tenant_ids)
    used = {key: one for key, one in charged.items() if one.kind is LineKind.USAGE}
    beside = {
        key: one
        for key, one in charged.items()
        if one.kind is not LineKind.USAGE and (final or one.kind is LineKind.DISCOUNT)
    }
    lines = [*_evident(of_time, lacking(of_time, used), used, behind)]
    lines += metered.lacking(
        of_meters, meters_store.prices(prices), meters, meters_store.charged(session, period, tenant_ids)
    )
    lines += [(line, NO_EVIDENCE) for line in lacking(agreed, beside)]
    costs: dict[int, int] = defaultdict(int)
    for line in whole:
        costs[payers[line.key.tenant_id]] += line.amount
    for line in agreed:
        costs[line.key.tenant_id] += line.amount
    return Rated(currency, lines, books.titles(session), costs)


def _payers(session: Session, tenant_ids: Sequence[int] | None) -> dict[int, int]:
    """{tenant: who pays for it} of some tenants, or of all."""
    return {
        tenant_id: reseller_id or tenant_id for tenant_id, reseller_id in tenants.resellers(session, tenant_ids).items()
    }


def _agreed(
    session: Session, whole: Sequence[RatedLine], payers: Mapping[int, int], period: Span, *, final: bool
) -> list[RatedLine]:  # fmt: skip
    """The lines of all payers' agreements, whole."""
    found, cycles = agreements.in_force(session, period), tenants.cycles(session)
    if not found:
        return []
    by_payer: dict[int, list[RatedLine]] = {payer: [] for payer in payers.values()}
    for line in whole:
        by_payer[payers[line.key.tenant_id]].append(line)
    return [
        line
        for payer, own in sorted(by_payer.items())
        for line in agreement.lines(
            found, own, Invoiced(payer, period, cycles.get(payer, MONTHLY).period_of(period.start), final)
        )
    ]


def _evident(
    whole: Sequence[RatedLine],
    lines: Sequence[RatedLine],
    charged: Mapping[LineKey, Charged],
    behind: Mapping[LineKey, LineEvidence],
) -> list[tuple[RatedLine, LineEvidence]]:
    """Each line with its evidence: of what was priced together, or its part of that."""
    together: dict[LineKey, list[RatedLine]] = defaultdict(list)
    for line in whole:
        together[line.basis or line.key].append(line)
    parts: dict[LineKey, LineEvidence] = {}
    for basis, own in together.items():
        parts.update(part_evidence(own, behind.get(basis, NO_EVIDENCE)))
    return [(line, difference(line, parts.get(line.key, NO_EVIDENCE), charged.get(line.key))) for line in lines]


def worth(session: Session, span: Span, tenant_ids: Sequence[int], meters: Sequence[Meter] = ()) -> dict[int, int]:
    """What tenants used in a span is worth, whether it was charged or not, in the currency's smallest unit. What has no price
    counts as nothing: this is an estimate, and no invoice."""
    prices, currency = terms.in_force(session, span), books.currency(session)
    found = dict.fromkeys(tenant_ids, 0)
    totals = _totals(session, span, tenant_ids, meters, prices)
    of_meters = metered.wholes(totals, meters_store.prices(prices), meters, currency)
    of_time = wholes(usage.quantities(session, span, prices, tenant_ids), currency)
    for line in (*of_time, *(line for line, _ in of_meters)):
        found[line.key.tenant_id] += line.amount
    return found


def unpriced(session: Session, period: Span, meters: Sequence[Meter] = ()) -> list[Unpriced]:
    """What was used in a period and has no price."""
    prices = terms.in_force(session, period)
    totals = _totals(session, period, None, meters, prices)  # first: it refuses what is not declared
    return [*usage.unpriced(session, period, prices), *_unpriced(totals)]


def _unpriced(totals: Sequence[Total]) -> list[Unpriced]:
    first: dict[str, datetime] = {}
    for one in totals:
        if one.span is None:
            first[one.meter] = min(one.first, first.get(one.meter, one.first))
    return [
        Unpriced(f"the meter {meter}", f"the meter {meter} has no price at {rfc3339(at.replace(microsecond=0))}")
        for meter, at in sorted(first.items())
    ]


def _totals(
    session: Session, period: Span, tenant_ids: Sequence[int] | None, meters: Sequence[Meter], prices: Prices
) -> list[Total]:
    """What the meters that have a SKU come to. Raises Conflict when a SKU names a meter that is not declared: its events
    would go unbilled."""
    skus = meters_store.priced(session)
    for name in sorted(skus.keys() - {meter.name for meter in meters}):
        raise Conflict(f"{skus[name]} is a SKU of the meter {name}, which is not declared", remedy="metering.meters")
    since = meters_store.sold_since(session)
    sold = {meter.name: meter for meter in meters if meter.name in skus}
    cuts: dict[tuple[str, int | None], list[Span]] = defaultdict(list)
    for price in meters_store.prices(prices):
        cuts[price.meter, price.tenant_id].append(price.span)
    of_list = {meter: spans for (meter, tenant_id), spans in cuts.items() if tenant_id is None}
    own: set[tuple[str, int]] = {(name, tenant_id) for name, tenant_id in cuts if tenant_id is not None}
    found = events.totals(session, list(sold.values()), period, of_list, tenant_ids, since)
    found = [one for one in found if (one.meter, one.tenant_id) not in own]
    for name, tenant_id in sorted(own):
        if name in sold and (tenant_ids is None or tenant_id in tenant_ids):
            found += events.totals(session, [sold[name]], period, {name: cuts[name, tenant_id]}, [tenant_id], since)
    return found

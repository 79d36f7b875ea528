"""Applies price books, and rates the usage of a period."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.core.clock import Clock
from billing.core.errors import Conflict
from billing.core.money import Asset
from billing.core.period import Span, rfc3339
from billing.db.changes import look_again
from billing.db.engine import Database, Session
from billing.events import store as events
from billing.events.meter import Meter, Total
from billing.pricing import store
from billing.pricing.metered import rate_meters
from billing.pricing.pricebook import parse
from billing.pricing.rating import NO_EVIDENCE, LineEvidence, RatedLine, difference, rate
from billing.pricing.store import PriceChange, Unpriced
from billing.pricing.store import meters as meters_store
from billing.trail.store import Deed, record

ClosedUntil = Callable[[Session], datetime | None]
"""Until when time is closed: what was invoiced is not priced again. Invoicing knows; bootstrap wires it."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A period's lines with what stands behind each."""

    currency: Asset
    lines: list[tuple[RatedLine, LineEvidence]]
    titles: dict[str, str]


class Rater:
    def __init__(self, database: Database, clock: Clock, closed_until: ClosedUntil) -> None:
        self._database, self._clock, self._closed_until = database, clock, closed_until

    def check(self, content: str) -> list[PriceChange]:
        """What applying a book would change. Raises Invalid for a malformed book, Conflict for closed time."""
        book = parse(content)
        with self._database.transaction() as session:
            return store.plan(session, book, self._closed_until(session))

    def apply(self, content: str, *, actor: str) -> list[PriceChange]:
        """Make a book's prices the ones in force. All of it, or nothing."""
        book, now = parse(content), self._clock.now()
        with self._database.transaction() as session:
            changes = store.plan(session, book, self._closed_until(session))
            store.apply(session, book, content, changes, actor, now)
            look_again(session)
            details = {"changes": len(changes), "skus": len(book.sku)}
            record(session, Deed(now, actor, "price.apply", "price book", details=details))
        return changes

    def prices(self) -> list[dict[str, Any]]:
        with self._database.transaction() as session:
            return store.prices(session)


def rated(
    session: Session,
    period: Span,
    tenant_ids: Sequence[int] | None = None,
    meters: Sequence[Meter] = (),
    *,
    closed: bool = False,
    whole: bool = True,
) -> Rated:
    """Rate what some tenants (or all) used in a period and was not charged yet; or charged and is not used any more.
    `meters` are the declared ones. In a `closed` period nothing gets a price any more: what has none is left out, and
    `unpriced` tells it. Not on the `whole`, only what these tenants used must have a price.

    Raises Conflict when anything used in the period has no price: a gap in the price book must not become a gift.
    """
    totals = _totals(session, period, tenant_ids, meters)
    some = None if whole else tenant_ids
    if not closed and (missing := [one.line for one in (*store.unpriced(session, period, some), *_unpriced(totals))]):
        raise Conflict(f"cannot rate {period}: {'; '.join(missing[:3])}", remedy="complete the price book and apply it")
    currency = store.currency(session)
    quantities = store.quantities(session, period, tenant_ids)
    charged = store.charged(session, period, tenant_ids)
    behind = store.evidence(session, period, tenant_ids)
    lines = [
        (line, difference(line, behind.get(line.key, NO_EVIDENCE), charged.get(line.key)))
        for line in rate(quantities, charged, currency)
    ]
    metered = rate_meters(
        totals,
        meters_store.prices(session, period),
        meters,
        meters_store.charged(session, period, tenant_ids),
        currency,
    )
    return Rated(currency, [*lines, *metered], store.titles(session))


def unpriced(session: Session, period: Span, meters: Sequence[Meter] = ()) -> list[Unpriced]:
    """What was used in a period and has no price."""
    totals = _totals(session, period, None, meters)  # first: it refuses what is not declared
    return [*store.unpriced(session, period), *_unpriced(totals)]


def _unpriced(totals: Sequence[Total]) -> list[Unpriced]:
    first: dict[str, datetime] = {}
    for one in totals:
        if one.span is None:
            first[one.meter] = min(one.first, first.get(one.meter, one.first))
    return [
        Unpriced(f"the meter {meter}", f"the meter {meter} has no price at {rfc3339(at.replace(microsecond=0))}")
        for meter, at in sorted(first.items())
    ]


def _totals(session: Session, period: Span, tenant_ids: Sequence[int] | None, meters: Sequence[Meter]) -> list[Total]:
    """What the meters that have a SKU come to. Raises Conflict when a SKU names a meter that is not declared: its events
    would go unbilled."""
    skus = meters_store.priced(session)
    for name in sorted(skus.keys() - {meter.name for meter in meters}):
        raise Conflict(f"{skus[name]} is a SKU of the meter {name}, which is not declared", remedy="metering.meters")
    cuts: dict[str, list[Span]] = {}
    for price in meters_store.prices(session, period):
        cuts.setdefault(price.meter, []).append(price.span)
    sold = [meter for meter in meters if meter.name in skus]
    return events.totals(session, sold, period, cuts, tenant_ids, meters_store.sold_since(session))

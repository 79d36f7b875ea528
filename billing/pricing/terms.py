"""Which price holds for whom and when: list prices, cut where a tenant has its own. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.core.period import Span, merge, subtract
from billing.pricing.tariff import Model, Tariff


@dataclass(frozen=True, slots=True)
class Term:
    """A price in force during `span`: of the list (`tenant_id` None), or of one tenant. `meter` is empty for devices."""

    sku: str
    meter: str
    tenant_id: int | None
    span: Span
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class Group:
    """What is priced together: `span` and `unit_price` are those of its lines."""

    sku: str
    meter: str
    tenant_id: int | None
    span: Span
    tariff: Tariff
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Piece:
    """Time in which a group's price holds; `group` is its place among the groups."""

    group: int
    during: Span


Rates = Mapping[str, Sequence[tuple[Span, Decimal]]]
"""Spot rates by SKU."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a period. Whoever is in `own` (tenant, SKU) has pieces of its own; all others have those without a tenant."""

    groups: list[Group]
    pieces: list[Piece]
    own: frozenset[tuple[int, str]]


def prices(terms: Iterable[Term], period: Span, resellers: Mapping[int, int | None], rates: Rates) -> Prices:
    """The prices of a period. `resellers` tells each tenant's reseller: its customers have its prices, unless they have
    prices of their own for that SKU."""
    listed: dict[str, list[Term]] = defaultdict(list)
    own: dict[tuple[int, str], list[Term]] = defaultdict(list)
    for term in terms:
        (listed[term.sku] if term.tenant_id is None else own[term.tenant_id, term.sku]).append(term)
    for tenant_id, reseller_id in resellers.items():
        for sku in listed if reseller_id is not None else ():
            theirs = own.get((reseller_id, sku)) if reseller_id is not None else None
            if theirs and (tenant_id, sku) not in own:
                own[tenant_id, sku] = theirs
    found = Prices([], [], frozenset(own))
    for of_list in listed.values():
        for term in of_list:
            _add(found, term, None, _within(term.span, period, ()), rates)
    for (tenant_id, sku), theirs in own.items():
        holes = [term.span for term in theirs]
        for term in theirs:
            _add(found, term, tenant_id, _within(term.span, period, ()), rates)
        for term in listed.get(sku, ()):
            _add(found, term, tenant_id, _within(term.span, period, holes), rates)
    return found


def _within(span: Span, period: Span, holes: Iterable[Span]) -> list[Span]:
    held = span.overlap(period)
    if held is None:
        return []
    return [Span.from_seconds(one) for one in subtract([held.seconds], [hole.seconds for hole in holes])]


def _add(found: Prices, term: Term, tenant_id: int | None, spans: Iterable[Span], rates: Rates) -> None:
    for span in spans:
        if term.tariff.model is not Model.SPOT:
            _group(found, term, tenant_id, span, term.tariff.placeholder, [span])
            continue
        by_rate: dict[Decimal, list[Span]] = defaultdict(list)
        for during, rate in rates.get(term.sku, ()):
            if (held := during.overlap(span)) is not None:
                by_rate[rate].append(held)
        for rate, held_spans in sorted(by_rate.items()):
            _group(found, term, tenant_id, span, rate, held_spans)


def _group(
    found: Prices, term: Term, tenant_id: int | None, span: Span, unit_price: Decimal, during: Iterable[Span]
) -> None:
    runs = merge(one.seconds for one in during)
    found.pieces.extend(Piece(len(found.groups), Span.from_seconds(one)) for one in runs)
    found.groups.append(Group(term.sku, term.meter, tenant_id, span, term.tariff, unit_price))

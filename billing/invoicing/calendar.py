"""Who is to be invoiced for what, derived from the database: nothing has to remember that an invoice is due."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from billing.core.period import Span
from billing.db.engine import Session
from billing.invoicing import store
from billing.invoicing.cycle import closed_periods, open_parts
from billing.invoicing.drafter import Drafter
from billing.invoicing.store import periods
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY, Cycle

SETTLE: Final = timedelta(hours=1)
"""How old usage is at least that is invoiced within a period."""

Due = dict[Span, set[int]]
"""{period: payers that lack an invoice for it}."""


def due(session: Session, drafter: Drafter, now: datetime) -> Due:
    """What is over, past its grace, and not invoiced. A payer whose invoice was voided is left to a person."""
    first = drafter.first_use(session)
    if first is None:
        return {}
    own = tenants.cycles(session)
    found: Due = defaultdict(set)
    for cycle in sorted({MONTHLY, *map(_without_threshold, own.values())}, key=str):
        closed = closed_periods(first, now, cycle=cycle)
        for period in closed:
            wanting = _wanting(session, drafter, period, newest=period == closed[-1])
            mine = {payer for payer in wanting if _without_threshold(own.get(payer, MONTHLY)) == cycle}
            parts = open_parts(period, mine, periods.covered(session, mine, period))
            for part, payers in parts.items():
                found[part] |= payers - store.payers_with_invoice(session, part).keys()
    return {period: payers for period, payers in sorted(found.items()) if payers}


def _without_threshold(cycle: Cycle) -> Cycle:
    return Cycle(cycle.every, cycle.anchor, cycle.timezone)


def _wanting(session: Session, drafter: Drafter, period: Span, *, newest: bool) -> set[int]:
    """Who used or owes something in a period; the newest one may also bring nothing but adjustments."""
    payers = drafter.used_payers(session, period)
    if newest:
        payers = payers.union(*periods.adjustable(session, period).values())
    return payers - store.payers_with_invoice(session, period).keys()


@dataclass(frozen=True, slots=True)
class Running:
    """The part of a running period that is over, and the payers that are invoiced within it, with their thresholds."""

    span: Span
    thresholds: Mapping[int, int]


def running(session: Session, now: datetime) -> list[Running]:
    """What may be invoiced before its period is over: up to the last whole hour that has had time to settle."""
    until = (now - SETTLE).replace(minute=0, second=0, microsecond=0)
    found: dict[Span, dict[int, int]] = defaultdict(dict)
    for payer, cycle in tenants.cycles(session).items():
        period = cycle.period_of(now)
        if cycle.threshold is not None and period.start < until:
            found[Span(period.start, until)][payer] = cycle.threshold
    return [Running(span, thresholds) for span, thresholds in sorted(found.items())]
